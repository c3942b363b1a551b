// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/device.hpp"

#include <algorithm>
#include <numeric>

namespace foretrain::trainer {

Memory Device::allocate(std::int64_t count, Type type, MemoryClass what) {
  const auto bytes = static_cast<std::int64_t>(size_of(type)) * count;
  std::shared_ptr<void> block = allocate_bytes(static_cast<std::size_t>(bytes));
  std::int64_t& current = current_bytes_[static_cast<std::size_t>(what)];
  current += bytes;
  peak_bytes_ = std::max(
      peak_bytes_, std::accumulate(current_bytes_.begin(), current_bytes_.end(), std::int64_t{0}));
  void* data = block.get();
  // The block goes with the last owner, and then no longer counts.
  std::shared_ptr<void> owner(data, [block, bytes, &current](void*) mutable {
    current -= bytes;
    block.reset();
  });
  return {Tensor{data, count, type}, std::move(owner)};
}

}  // namespace foretrain::trainer
