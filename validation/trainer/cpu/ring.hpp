// Ring collectives of our own over Gloo's transport. Gloo's ask for a segment only when another has
// come, and the request then stands behind what the same socket is sending: on a link of 300 Mbit/s
// its all-gather of 3 MB took 61 instead of 42 ms. These ask for everything before they send.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <gloo/context.h>

namespace foretrain::trainer {

/// One collective of one rank, as it runs on its stream.
struct RingCall {
  std::shared_ptr<gloo::Context> context;
  std::chrono::milliseconds timeout;
  std::uint64_t slot = 0;  ///< of messages; a call's own, and the next one
  std::vector<std::byte>* scratch = nullptr;
};

/// out[i] = a[i] + b[i], or the like, for `count` numbers.
using Reduce = void (*)(void* out, const void* a, const void* b, std::size_t count);

/// `data` is one part for each rank, all alike but for the last ones, which may be shorter.
struct RingData {
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::size_t part_bytes = 0;  ///< bytes <= part_bytes * size
};

/// The sum of everybody's part r comes to rank r, in place; other parts are not kept. Part r starts
/// at rank r + 1 and is full when it comes to rank r.
void ring_reduce_scatter(const RingCall& call, const RingData& data, Reduce reduce,
                         std::size_t number_bytes);
/// Everybody's own part comes to all.
void ring_all_gather(const RingCall& call, const RingData& data);

}  // namespace foretrain::trainer
