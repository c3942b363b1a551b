// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/nccl_communicator.hpp"

#include <stdexcept>
#include <string>

#include "validation/trainer/cuda/check.hpp"

namespace foretrain::trainer::cuda {
namespace {

ncclDataType_t data_type(Type type) {
  switch (type) {
    case Type::fp32:
      return ncclFloat32;
    case Type::bf16:
      return ncclBfloat16;
    case Type::fp16:
      return ncclFloat16;
    case Type::int8:
      return ncclInt8;
    case Type::int32:
      return ncclInt32;
  }
  throw std::runtime_error("NCCL: unknown type");
}

void require_counts(const char* name, std::int64_t whole, std::int64_t parts, int size) {
  if (whole != parts * size) {
    throw std::runtime_error(std::string(name) + ": " + std::to_string(whole) +
                             " numbers are not " + std::to_string(size) + " times " +
                             std::to_string(parts));
  }
}

std::size_t length(const Tensor& tensor) { return static_cast<std::size_t>(tensor.count); }

}  // namespace

NcclCommunicator::NcclCommunicator(CudaDevice& device, int rank, int size, const ncclUniqueId* id)
    : Communicator(rank, size), device_(device) {
  if (size > 1) {
    NCCL_CHECK(ncclCommInitRank(&communicator_, size, *id, rank));
  }
}

NcclCommunicator::~NcclCommunicator() {
  if (communicator_ != nullptr) {
    ncclCommDestroy(communicator_);
  }
}

void NcclCommunicator::all_reduce(Stream stream, const Tensor& tensor, Reduction reduction) {
  if (size() == 1) {
    return;
  }
  const ncclRedOp_t operation = reduction == Reduction::sum ? ncclSum : ncclMax;
  NCCL_CHECK(ncclAllReduce(tensor.data, tensor.data, length(tensor), data_type(tensor.type),
                           operation, communicator_, device_.cuda_stream(stream)));
}

void NcclCommunicator::all_gather(Stream stream, const Tensor& out, const Tensor& in) {
  require_counts("all_gather", out.count, in.count, size());
  if (size() == 1) {
    device_.copy(stream, out, in);
    return;
  }
  NCCL_CHECK(ncclAllGather(in.data, out.data, length(in), data_type(in.type), communicator_,
                           device_.cuda_stream(stream)));
}

void NcclCommunicator::reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) {
  require_counts("reduce_scatter", in.count, out.count, size());
  if (size() == 1) {
    device_.copy(stream, out, in);
    return;
  }
  NCCL_CHECK(ncclReduceScatter(in.data, out.data, length(out), data_type(out.type), ncclSum,
                               communicator_, device_.cuda_stream(stream)));
}

// One send and one receive for each rank, this one included, as one operation.
void NcclCommunicator::all_to_all(Stream stream, const Tensor& out, const Tensor& in) {
  require_counts("all_to_all", out.count, in.count / size(), size());
  require_counts("all_to_all", in.count, out.count / size(), size());
  if (size() == 1) {
    device_.copy(stream, out, in);
    return;
  }
  const std::int64_t each = in.count / size();
  NCCL_CHECK(ncclGroupStart());
  for (int peer = 0; peer < size(); ++peer) {
    send(stream, in.part(peer * each, each), peer);
    receive(stream, out.part(peer * each, each), peer);
  }
  NCCL_CHECK(ncclGroupEnd());
}

void NcclCommunicator::require_peer(int peer) const {
  if (size() == 1 || peer < 0 || peer >= size()) {
    throw std::runtime_error("no rank " + std::to_string(peer) + " in a group of " +
                             std::to_string(size()));
  }
}

void NcclCommunicator::send(Stream stream, const Tensor& tensor, int peer) {
  require_peer(peer);
  NCCL_CHECK(ncclSend(tensor.data, length(tensor), data_type(tensor.type), peer, communicator_,
                      device_.cuda_stream(stream)));
}

void NcclCommunicator::receive(Stream stream, const Tensor& tensor, int peer) {
  require_peer(peer);
  NCCL_CHECK(ncclRecv(tensor.data, length(tensor), data_type(tensor.type), peer, communicator_,
                      device_.cuda_stream(stream)));
}

void NcclCommunicator::maximum_of_double(Stream stream, void* number) {
  if (size() > 1) {
    NCCL_CHECK(ncclAllReduce(number, number, 1, ncclFloat64, ncclMax, communicator_,
                             device_.cuda_stream(stream)));
  }
}

}  // namespace foretrain::trainer::cuda
