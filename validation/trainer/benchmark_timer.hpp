// Times one kind of call on all ranks at once, and the memory that it goes round.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer {

/// All ranks. Throws std::runtime_error when there is one only.
[[nodiscard]] std::unique_ptr<Communicator> benchmark_group(World& world, const std::string& name);

class BenchmarkTimer {
 public:
  BenchmarkTimer(Device& device, World& world, double seconds);

  /// `call(i)` enqueues the i-th of many like calls on `stream`.
  using Call = std::function<void(std::int64_t i)>;
  /// Seconds of one call: the median of batches, of the slowest rank. All ranks time the same
  /// calls.
  [[nodiscard]] double time(Stream stream, const Call& call);

 private:
  [[nodiscard]] double batch(Stream stream, const Call& call, std::int64_t count);

  void run_ahead(Stream stream, std::int64_t count);

  Device& device_;
  World& world_;
  double seconds_;
  std::int64_t next_ = 0;
  Memory cleared_;  // a GPU's
};

/// Memory of a device full of random numbers in (-1, 1), or of one number, handed out in rounds.
class BenchmarkArena {
 public:
  /// Room for `largest` numbers, and for rounds of `footprint` bytes.
  BenchmarkArena(Device& device, Type type, std::int64_t largest, std::int64_t footprint,
                 std::optional<float> number = std::nullopt);

  /// The tensors, of these sizes, of round i: other memory than the rounds before, until it is used
  /// up. REQUIRES: together no more than the largest.
  [[nodiscard]] std::vector<Tensor> round(std::int64_t i,
                                          const std::vector<std::int64_t>& counts) const;

 private:
  Memory memory_;
};

}  // namespace foretrain::trainer
