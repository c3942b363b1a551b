// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/gloo_group.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>
#include <utility>

#include <Eigen/Core>
#include <gloo/context.h>
#include <gloo/transport/unbound_buffer.h>

#include "validation/trainer/cpu/half.hpp"
#include "validation/trainer/cpu/ring.hpp"
#include "validation/trainer/cpu/urgent.hpp"

namespace foretrain::trainer {
namespace {

// Gloo's own slots end below this bit.
constexpr int kKindBits = 48;
enum class Kind : std::uint8_t {
  reduce_scatter = 1,
  all_gather = 2,
  all_to_all = 3,
  point_to_point = 4
};

std::uint64_t slot_of(Kind kind, std::uint32_t number) {
  return (static_cast<std::uint64_t>(kind) << kKindBits) | number;
}

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

RingCall ring_call(const GlooCall& call, Kind kind) {
  return {call.context, call.timeout, slot_of(kind, call.number), call.scratch.get()};
}

RingData parts_of(const Tensor& tensor, int ranks) {
  const std::size_t part =
      (static_cast<std::size_t>(tensor.count) + static_cast<std::size_t>(ranks) - 1) /
      static_cast<std::size_t>(ranks);
  return {tensor.as<std::byte>(), tensor.bytes(), part * size_of(tensor.type)};
}

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
                     const Urgent urgent;
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
    const RingData data = parts_of(tensor, call.context->size);
    ring_reduce_scatter(ring_call(call, Kind::reduce_scatter), data, reduce, size_of(tensor.type));
    ring_all_gather(ring_call(call, Kind::all_gather), data);
  });
}

void GlooGroup::all_gather(Stream stream, const Tensor& out, const Tensor& in) {
  enqueue(stream, "all-gather", num_collectives_++, [out, in, r = rank()](const GlooCall& call) {
    const Tensor own = out.part(r * in.count, in.count);
    copy_alone(own, in);
    if (call.context == nullptr || in.count == 0) {
      return;
    }
    ring_all_gather(ring_call(call, Kind::all_gather), parts_of(out, call.context->size));
  });
}

void GlooGroup::reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) {
  Reduce reduce = reduce_of(out.type, Reduction::sum);
  enqueue(stream, "reduce-scatter", num_collectives_++, [out, in, reduce](const GlooCall& call) {
    if (call.context == nullptr) {
      copy_alone(out, in);
    } else if (out.count > 0) {
      const RingData data = parts_of(in, call.context->size);
      ring_reduce_scatter(ring_call(call, Kind::reduce_scatter), data, reduce, size_of(in.type));
      const std::byte* own =
          data.data + static_cast<std::size_t>(call.context->rank) * data.part_bytes;
      if (out.data != own) {
        std::memcpy(out.data, own, out.bytes());
      }
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
