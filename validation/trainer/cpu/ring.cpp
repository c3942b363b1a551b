// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/ring.hpp"

#include <algorithm>

#include <gloo/transport/unbound_buffer.h>

namespace foretrain::trainer {
namespace {

// In step s rank r sends part first - s to its right, and gets part first - 1 - s from its left, in
// segments: one is worked on while the next one arrives.
class Ring {
 public:
  Ring(const RingCall& call, const RingData& data, int first)
      : call_(call), data_(data), size_(call.context->size), first_(first) {
    constexpr std::size_t kLargestSegment = std::size_t{1} << 20;
    constexpr std::size_t kAlignment = 64;
    const std::size_t half = (data.part_bytes / 2 + kAlignment - 1) / kAlignment * kAlignment;
    segment_bytes_ = std::clamp<std::size_t>(half, 1, kLargestSegment);
    segments_ = (data.part_bytes + segment_bytes_ - 1) / segment_bytes_;
  }

  /// Steps and segments, in the order in which they travel.
  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(size_ - 1) * segments_;
  }
  [[nodiscard]] std::size_t segments() const { return segments_; }
  [[nodiscard]] std::size_t segment_bytes() const { return segment_bytes_; }
  [[nodiscard]] int left() const { return (call_.context->rank + size_ - 1) % size_; }
  [[nodiscard]] int right() const { return (call_.context->rank + 1) % size_; }

  struct Span {
    std::size_t offset = 0;
    std::size_t bytes = 0;  ///< 0: beyond the end
  };
  [[nodiscard]] Span sent(std::size_t i) const { return segment(i, first_); }
  [[nodiscard]] Span received(std::size_t i) const { return segment(i, first_ - 1); }

 private:
  [[nodiscard]] Span segment(std::size_t i, int first) const {
    const int step = static_cast<int>(i / segments_);
    const auto part = static_cast<std::size_t>((first - step + 2 * size_) % size_);
    const std::size_t end = std::min(data_.bytes, (part + 1) * data_.part_bytes);
    const std::size_t begin = part * data_.part_bytes + i % segments_ * segment_bytes_;
    return begin < end ? Span{begin, std::min(segment_bytes_, end - begin)} : Span{};
  }

  const RingCall& call_;
  const RingData& data_;
  int size_;
  int first_;
  std::size_t segment_bytes_ = 0;
  std::size_t segments_ = 0;  // of a part
};

using Buffer = gloo::transport::UnboundBuffer;

void send(Buffer& buffer, const Ring& ring, std::size_t i, std::uint64_t slot) {
  if (const Ring::Span span = ring.sent(i); span.bytes > 0) {
    buffer.send(ring.right(), slot, span.offset, span.bytes);
  }
}

void wait_for_sends(Buffer& buffer, const Ring& ring, std::chrono::milliseconds timeout) {
  for (std::size_t i = 0; i < ring.count(); ++i) {
    if (ring.sent(i).bytes > 0) {
      buffer.waitSend(timeout);
    }
  }
}

}  // namespace

void ring_reduce_scatter(const RingCall& call, const RingData& data, Reduce reduce,
                         std::size_t number_bytes) {
  const Ring ring(call, data, call.context->rank - 1 + call.context->size);
  // What comes in two steps has room beside what is added.
  const std::size_t window = std::min(ring.count(), 2 * ring.segments());
  call.scratch->resize(std::max(call.scratch->size(), window * ring.segment_bytes()));
  std::vector<std::unique_ptr<Buffer>> from_left;
  from_left.reserve(window);
  const auto receive = [&](std::size_t i) {
    if (const std::size_t bytes = ring.received(i).bytes; bytes > 0) {
      from_left[i % window]->recv(ring.left(), call.slot, 0, bytes);
    }
  };
  for (std::size_t i = 0; i < window; ++i) {
    from_left.push_back(call.context->createUnboundBuffer(
        call.scratch->data() + i * ring.segment_bytes(), ring.segment_bytes()));
    receive(i);
  }
  const auto to_right = call.context->createUnboundBuffer(data.data, data.bytes);
  for (std::size_t i = 0; i < ring.segments(); ++i) {
    send(*to_right, ring, i, call.slot);
  }
  for (std::size_t i = 0; i < ring.count(); ++i) {
    if (const Ring::Span span = ring.received(i); span.bytes > 0) {
      from_left[i % window]->waitRecv(call.timeout);
      std::byte* const mine = data.data + span.offset;
      reduce(mine, mine, call.scratch->data() + i % window * ring.segment_bytes(),
             span.bytes / number_bytes);
    }
    if (i + window < ring.count()) {
      receive(i + window);
    }
    if (i + ring.segments() < ring.count()) {
      send(*to_right, ring, i + ring.segments(), call.slot);
    }
  }
  wait_for_sends(*to_right, ring, call.timeout);
}

void ring_all_gather(const RingCall& call, const RingData& data) {
  const Ring ring(call, data, call.context->rank + call.context->size);
  const auto received = call.context->createUnboundBuffer(data.data, data.bytes);
  const auto sent = call.context->createUnboundBuffer(data.data, data.bytes);
  for (std::size_t i = 0; i < ring.count(); ++i) {
    if (const Ring::Span span = ring.received(i); span.bytes > 0) {
      received->recv(ring.left(), call.slot, span.offset, span.bytes);
    }
  }
  for (std::size_t i = 0; i < ring.segments(); ++i) {
    send(*sent, ring, i, call.slot);
  }
  for (std::size_t i = 0; i < ring.count(); ++i) {
    if (ring.received(i).bytes > 0) {
      received->waitRecv(call.timeout);
    }
    if (i + ring.segments() < ring.count()) {
      send(*sent, ring, i + ring.segments(), call.slot);
    }
  }
  wait_for_sends(*sent, ring, call.timeout);
}

}  // namespace foretrain::trainer
