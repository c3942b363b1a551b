// A GPU beside the processor, given the same numbers: what the GPU's kernels are held to. Numbers
// that a GPU has in bf16 are rounded to bf16 before either gets them, so that both start alike.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "validation/trainer/device.hpp"

namespace foretrain::testing {

/// Half of the distance of bf16 numbers from 1 to 2, 2^-7: what one rounding is off by, relative.
inline constexpr double kBf16Rounding = 0x1p-8;

/// The same tensor on both.
struct Both {
  trainer::Memory gpu;
  trainer::Memory cpu;
};

class Pair {
 public:
  Pair(std::unique_ptr<trainer::Device> gpu, std::unique_ptr<trainer::Device> cpu)
      : gpu_(std::move(gpu)), cpu_(std::move(cpu)) {}

  [[nodiscard]] trainer::Device& gpu() { return *gpu_; }
  [[nodiscard]] trainer::Device& cpu() { return *cpu_; }

  /// `type` is the GPU's; on the processor floating numbers are fp32.
  [[nodiscard]] Both numbers(const std::vector<float>& values,
                             trainer::Type type = trainer::Type::bf16);
  [[nodiscard]] Both random(std::int64_t count, std::uint32_t seed, float scale = 1,
                            trainer::Type type = trainer::Type::bf16);
  [[nodiscard]] Both zeros(std::int64_t count, trainer::Type type = trainer::Type::bf16);
  [[nodiscard]] Both integers(const std::vector<std::int32_t>& values);

  [[nodiscard]] std::vector<float> gpu_values(const trainer::Tensor& tensor);
  [[nodiscard]] std::vector<float> cpu_values(const trainer::Tensor& tensor);
  /// The largest difference over the processor's largest number; infinite if a number is no number.
  [[nodiscard]] double difference(const Both& both);

 private:
  std::unique_ptr<trainer::Device> gpu_;
  std::unique_ptr<trainer::Device> cpu_;
};

/// Random numbers in [-scale, scale).
[[nodiscard]] std::vector<float> random_values(std::int64_t count, std::uint32_t seed,
                                               float scale = 1);

/// Null, and says "skipped: no GPU", where there is none: the test returns. `order` is that in
/// which an emulated GPU runs threads.
[[nodiscard]] std::unique_ptr<Pair> gpu_and_cpu(unsigned order = 0);

// One of these two is linked: gpu_real.cpp, or gpu_emulated.cpp.
[[nodiscard]] std::unique_ptr<trainer::Device> find_gpu();  ///< null where there is none
void set_thread_order(unsigned order);

}  // namespace foretrain::testing
