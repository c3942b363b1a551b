// What the kernels' benchmarks share: memory to work on, and rows of the table.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

#include "validation/trainer/benchmark.hpp"
#include "validation/trainer/benchmark_timer.hpp"

namespace foretrain::trainer {

/// Numbers of a GPT layer's matrices over the square of its width: 3 + 1 + 4 + 4.
inline constexpr std::int64_t kLayerMatrices = 12;

/// One line of the kernel table; what is empty or 0 is left out.
struct KernelRow {
  std::string_view kernel;  ///< "gemm", "attention fwd", "attention bwd", "memory-bound"
  std::string_view detail;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  std::string_view dtype;
  std::string_view layout;
  bool is_accumulated = false;
  AttentionShape attention = {0, 0, 0, 0};
  std::string_view memory_op;
  double bytes = 0;
  std::int64_t rows = 0;  ///< given to one block each
  double seconds = 0;
};

/// Inputs are only read and outputs only written, so that what is computed on stays random.
struct KernelBench {
  KernelBench(Device& device_in, World& world_in, const KernelSweep& sweep_in,
              std::ostream& out_in);

  void write(const KernelRow& row);

  Device& device;
  World& world;
  const KernelSweep& sweep;
  std::ostream& out;
  std::string hardware;
  BenchmarkTimer timer;
  BenchmarkArena inputs;     ///< of the device's activation type
  BenchmarkArena outputs;    ///< of it too
  BenchmarkArena gradients;  ///< fp32
};

void time_linears(KernelBench& bench);
void time_attention(KernelBench& bench);
void time_memory_bound(KernelBench& bench);

}  // namespace foretrain::trainer
