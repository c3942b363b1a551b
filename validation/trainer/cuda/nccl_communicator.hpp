// One NCCL communicator: a group of ranks whose collectives run on the streams of a CudaDevice.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <nccl.h>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/cuda/cuda_device.hpp"

namespace foretrain::trainer::cuda {

class NcclCommunicator final : public Communicator {
 public:
  /// Returns when all ranks of the group have called with the same id. A group of one has no id.
  NcclCommunicator(CudaDevice& device, int rank, int size, const ncclUniqueId* id);
  ~NcclCommunicator() override;

  void all_reduce(Stream stream, const Tensor& tensor, Reduction reduction) override;
  void all_gather(Stream stream, const Tensor& out, const Tensor& in) override;
  void reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) override;
  void all_to_all(Stream stream, const Tensor& out, const Tensor& in) override;
  void send(Stream stream, const Tensor& tensor, int peer) override;
  void receive(Stream stream, const Tensor& tensor, int peer) override;

  /// The largest of one double in the device's memory, in place.
  void maximum_of_double(Stream stream, void* number);

 private:
  void require_peer(int peer) const;

  CudaDevice& device_;
  ncclComm_t communicator_ = nullptr;  // null for a group of one
};

}  // namespace foretrain::trainer::cuda
