// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/gloo_group.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <Eigen/Core>
#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/context.h>
#include <gloo/transport/unbound_buffer.h>

#include "validation/trainer/cpu/half.hpp"

namespace foretrain::trainer {
namespace {

// Gloo's own slots end below this bit.
constexpr int kKindBits = 48;
enum class Kind : std::uint8_t { reduce_scatter = 1, all_to_all = 2, point_to_point = 3 };

std::uint64_t slot_of(Kind kind, std::uint32_t number) {
  return (static_cast<std::uint64_t>(kind) << kKindBits) | number;
}

using Reduce = void (*)(void* out, const void* a, const void* b, std::size_t count);
using Numbers = Eigen::Map<Eigen::ArrayXf>;
using ConstantNumbers = Eigen::Map<const Eigen::ArrayXf>;

ConstantNumbers numbers(const void* data, std::size_t count) {
  return {static_cast<const float*>(data), static_cast<Eigen::Index>(count)};
}

void add_floats(void* out, const void* a, const void* b, std::size_t count) {
  Numbers(static_cast<float*>(out), static_cast<Eigen::Index>(count)) =
      numbers(a, count) + numbers(b, count);
}

void larger_floats(void* out, const void* a, const void* b, std::size_t count) {
  Numbers(static_cast<float*>(out), static_cast<Eigen::Index>(count)) =
      numbers(a, count).max(numbers(b, count));
}

void add_half_floats(void* out, const void* a, const void* b, std::size_t count) {
  add_halves(static_cast<std::uint16_t*>(out), static_cast<const std::uint16_t*>(a),
             static_cast<const std::uint16_t*>(b), static_cast<std::int64_t>(count));
}

Reduce reduce_of(Type type, Reduction reduction) {
  if (type == Type::fp32) {
    return reduction == Reduction::sum ? add_floats : larger_floats;
  }
  if (type == Type::fp16 && reduction == Reduction::sum) {
    return add_half_floats;
  }
  throw std::runtime_error("processors reduce fp32, and sums of fp16, only");
}

template <class Number>
void ring_all_reduce(const GlooCall& call, const Tensor& tensor, Reduce reduce) {
  gloo::AllreduceOptions options(call.context);
  options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
  options.setOutput(tensor.as<Number>(), static_cast<std::size_t>(tensor.count));
  options.setReduceFunction(reduce);
  options.setTag(call.number);
  options.setTimeout(call.timeout);
  gloo::allreduce(options);
}

// A ring in which part r starts at rank r + 1 and is full when it comes to rank r: in step s rank r
// sends part r - 1 - s to its right and adds part r - 2 - s from its left. Parts travel in
// segments, so that one is added while the next arrives (two, and at most 1 MiB, as in Gloo's
// all-reduce).
class RingReduceScatter {
 public:
  RingReduceScatter(const GlooCall& call, const Tensor& out, const Tensor& in, Reduce reduce)
      : call_(call), out_(out), in_(in), reduce_(reduce), size_(call.context->size) {
    constexpr std::size_t kLargestSegment = std::size_t{1} << 20;
    const std::size_t half = (static_cast<std::size_t>(out.count) + 1) / 2 * size_of(out.type);
    segment_bytes_ = std::min(half, kLargestSegment);
    segments_ = (out.bytes() + segment_bytes_ - 1) / segment_bytes_;
    if (call.scratch->size() < 2 * segment_bytes_) {
      call.scratch->resize(2 * segment_bytes_);
    }
  }

  void run() {
    const auto from_left =
        std::array{call_.context->createUnboundBuffer(scratch(0), segment_bytes_),
                   call_.context->createUnboundBuffer(scratch(1), segment_bytes_)};
    const auto to_right = call_.context->createUnboundBuffer(in_.data, in_.bytes());
    const std::size_t steps = static_cast<std::size_t>(size_ - 1) * segments_;
    for (std::size_t i = 0; i < std::min<std::size_t>(2, steps); ++i) {
      receive(*from_left[i], i);
    }
    for (std::size_t i = 0; i < segments_; ++i) {
      send(*to_right, i);
    }
    for (std::size_t i = 0; i < steps; ++i) {
      from_left[i % 2]->waitRecv(call_.timeout);
      add(i);
      if (i + 2 < steps) {
        receive(*from_left[i % 2], i + 2);
      }
      if (i + segments_ < steps) {
        send(*to_right, i + segments_);
      }
    }
    for (std::size_t i = 0; i < steps; ++i) {
      to_right->waitSend(call_.timeout);
    }
  }

 private:
  using Buffer = gloo::transport::UnboundBuffer;

  [[nodiscard]] int rank() const { return call_.context->rank; }
  [[nodiscard]] std::size_t part(int index) const {
    return static_cast<std::size_t>((index + 2 * size_) % size_);
  }
  [[nodiscard]] int step(std::size_t i) const { return static_cast<int>(i / segments_); }
  [[nodiscard]] std::size_t offset(std::size_t i) const { return i % segments_ * segment_bytes_; }
  [[nodiscard]] std::size_t length(std::size_t i) const {
    return std::min(segment_bytes_, out_.bytes() - offset(i));
  }
  [[nodiscard]] std::byte* scratch(std::size_t i) const {
    return call_.scratch->data() + i % 2 * segment_bytes_;
  }
  [[nodiscard]] std::uint64_t slot() const { return slot_of(Kind::reduce_scatter, call_.number); }

  void receive(Buffer& buffer, std::size_t i) const {
    buffer.recv((rank() + size_ - 1) % size_, slot(), 0, length(i));
  }
  void send(Buffer& buffer, std::size_t i) const {
    buffer.send((rank() + 1) % size_, slot(), part(rank() - 1 - step(i)) * out_.bytes() + offset(i),
                length(i));
  }
  void add(std::size_t i) const {
    std::byte* const mine =
        in_.as<std::byte>() + part(rank() - 2 - step(i)) * out_.bytes() + offset(i);
    std::byte* const sum = step(i) == size_ - 2 ? out_.as<std::byte>() + offset(i) : mine;
    reduce_(sum, mine, scratch(i), length(i) / size_of(out_.type));
  }

  const GlooCall& call_;
  const Tensor& out_;
  const Tensor& in_;
  Reduce reduce_;
  int size_;
  std::size_t segment_bytes_ = 0;
  std::size_t segments_ = 0;  // of a part
};

// All pairs at once.
void exchange(const GlooCall& call, const Tensor& out, const Tensor& in) {
  const int size = call.context->size;
  const int rank = call.context->rank;
  const std::size_t bytes = in.bytes() / static_cast<std::size_t>(size);
  const auto sent = call.context->createUnboundBuffer(in.data, in.bytes());
  const auto received = call.context->createUnboundBuffer(out.data, out.bytes());
  const std::uint64_t slot = slot_of(Kind::all_to_all, call.number);
  for (int ahead = 1; ahead < size; ++ahead) {  // not all to rank 0 first
    const int from = (rank + size - ahead) % size;
    received->recv(from, slot, static_cast<std::size_t>(from) * bytes, bytes);
  }
  for (int ahead = 1; ahead < size; ++ahead) {
    const int to = (rank + ahead) % size;
    sent->send(to, slot, static_cast<std::size_t>(to) * bytes, bytes);
  }
  const std::size_t own = static_cast<std::size_t>(rank) * bytes;
  std::memcpy(out.as<std::byte>() + own, in.as<std::byte>() + own, bytes);
  for (int others = 1; others < size; ++others) {
    received->waitRecv(call.timeout);
    sent->waitSend(call.timeout);
  }
}

void copy_alone(const Tensor& out, const Tensor& in) {
  if (out.data != in.data) {
    std::memcpy(out.data, in.data, in.bytes());
  }
}

}  // namespace

GlooGroup::GlooGroup(Members members, std::shared_ptr<gloo::Context> context,
                     std::chrono::milliseconds timeout, Streams& streams)
    : Communicator(members.rank, members.size),
      members_(std::move(members)),
      context_(std::move(context)),
      timeout_(timeout),
      streams_(streams),
      num_sent_(static_cast<std::size_t>(size())),
      num_received_(static_cast<std::size_t>(size())),
      scratch_(std::make_shared<std::vector<std::byte>>()) {}

void GlooGroup::enqueue(Stream stream, std::string_view what, std::uint32_t number, Body body) {
  streams_.enqueue(stream,
                   [call = GlooCall{context_, timeout_, number, scratch_}, body = std::move(body),
                    where = std::string(what) + " of group '" + members_.name + "' on its rank " +
                            std::to_string(rank()) + " of " + std::to_string(size())] {
                     try {
                       body(call);
                     } catch (const std::exception& error) {
                       throw std::runtime_error(where + ": " + error.what());
                     }
                   });
}

void GlooGroup::all_reduce(Stream stream, const Tensor& tensor, Reduction reduction) {
  Reduce reduce = reduce_of(tensor.type, reduction);
  if (size() == 1 || tensor.count == 0) {
    return;
  }
  enqueue(stream, "all-reduce", num_collectives_++, [tensor, reduce](const GlooCall& call) {
    if (tensor.type == Type::fp32) {
      ring_all_reduce<float>(call, tensor, reduce);
    } else {
      ring_all_reduce<std::uint16_t>(call, tensor, reduce);
    }
  });
}

void GlooGroup::all_gather(Stream stream, const Tensor& out, const Tensor& in) {
  enqueue(stream, "all-gather", num_collectives_++, [out, in, r = rank()](const GlooCall& call) {
    const Tensor own = out.part(r * in.count, in.count);
    copy_alone(own, in);
    if (call.context == nullptr || in.count == 0) {
      return;
    }
    gloo::AllgatherOptions options(call.context);
    options.setOutput(out.as<std::uint8_t>(), out.bytes());
    options.setTag(call.number);
    options.setTimeout(call.timeout);
    gloo::allgather(options);
  });
}

void GlooGroup::reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) {
  Reduce reduce = reduce_of(out.type, Reduction::sum);
  enqueue(stream, "reduce-scatter", num_collectives_++, [out, in, reduce](const GlooCall& call) {
    if (call.context == nullptr) {
      copy_alone(out, in);
    } else if (out.count > 0) {
      RingReduceScatter(call, out, in, reduce).run();
    }
  });
}

void GlooGroup::all_to_all(Stream stream, const Tensor& out, const Tensor& in) {
  enqueue(stream, "all-to-all", num_collectives_++, [out, in](const GlooCall& call) {
    if (call.context == nullptr) {
      copy_alone(out, in);
    } else if (in.count > 0) {
      exchange(call, out, in);
    }
  });
}

void GlooGroup::send(Stream stream, const Tensor& tensor, int peer) {
  const std::uint32_t number = num_sent_.at(static_cast<std::size_t>(peer))++;
  enqueue(stream, "send", number, [tensor, peer](const GlooCall& call) {
    const auto buffer = call.context->createUnboundBuffer(tensor.data, tensor.bytes());
    buffer->send(peer, slot_of(Kind::point_to_point, call.number));
    buffer->waitSend(call.timeout);
  });
}

void GlooGroup::receive(Stream stream, const Tensor& tensor, int peer) {
  const std::uint32_t number = num_received_.at(static_cast<std::size_t>(peer))++;
  enqueue(stream, "receive", number, [tensor, peer](const GlooCall& call) {
    const auto buffer = call.context->createUnboundBuffer(tensor.data, tensor.bytes());
    buffer->recv(peer, slot_of(Kind::point_to_point, call.number));
    buffer->waitRecv(call.timeout);
  });
}

}  // namespace foretrain::trainer
