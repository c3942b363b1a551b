// Times kernels, collectives and codecs, as tables that platforms are calibrated by: `foretrain
// calibrate gpu` reads the first, `foretrain calibrate collectives` the second. All ranks measure
// at the same time, so that what they share (caches, memory, links) is shared as in training; a
// time is the median of repeats on the slowest rank, and rank 0 writes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "strategies/compress/exchange.hpp"
#include "validation/trainer/communicator.hpp"
#include "validation/trainer/compress.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer {

/// What kernels are timed: those of GPTs of these widths (with heads of one width, and four times
/// the width inside the MLP), and products of matrices in general.
struct KernelSweep {
  std::vector<std::int64_t> hidden;
  std::vector<std::int64_t> tokens;  ///< of a micro-batch; multiples of `sequence`, or its divisors
  std::vector<std::int64_t> tensor;  ///< degrees of tensor parallelism
  std::vector<std::int64_t> squares;  ///< GEMMs of this many rows, columns and inner numbers
  std::int64_t sequence = 128;
  std::int64_t head_dim = 64;
  std::int64_t vocabulary = 256;  ///< rows of the table, as padded
  double seconds = 0.1;           ///< for one time
  std::int64_t footprint =
      32LL << 20;  ///< bytes that repeats go round, so that no cache holds them
};
/// A sweep of 40 s for a processor, of a minute for a GPU.
[[nodiscard]] KernelSweep default_sweep(const Device& device);

/// Columns as read_kernel_table has them. Bytes are those that models/blocks count for what a
/// kernel does: of a norm's gradient, which adds to the gradient that is there, 3 / 7 of the time
/// are a row "residual_gradient_add". Rows "adamw" and "sum_of_squares" have no class in a GPU
/// file: a stack says what the optimizer moves.
void benchmark_kernels(Device& device, World& world, const KernelSweep& sweep, std::ostream& out);

struct CollectiveSweep {
  std::int64_t least = 1LL << 10;  ///< bytes of the full vector
  std::int64_t most = 32LL << 20;
  double seconds = 0.3;       ///< for one time
  double longest_call = 1.5;  ///< seconds: payloads that would take longer are left out
};
/// Each rank counts as a node of its own. "send_recv" is half a message there and back between the
/// first two ranks. REQUIRES: two ranks or more, else throws std::runtime_error.
void benchmark_collectives(Device& device, World& world, const CollectiveSweep& sweep,
                           std::ostream& out);

/// Fitted so that the simulator's fixed times by these rates, for this many ranks, are what coding
/// one all-reduce took. REQUIRES: two ranks or more.
void benchmark_codecs(Device& device, World& world, const std::vector<WireCompression>& methods,
                      const std::vector<BucketShape>& buckets, std::ostream& out);
/// The gradients of one layer of a GPT of this width.
[[nodiscard]] BucketShape layer_bucket(std::int64_t hidden);

/// One GEMM, and one all-reduce, each alone and beside the other; compute_share is what of its rate
/// the GEMM loses. `seconds` of all-reduces, as long as they take alone. REQUIRES: two ranks or
/// more.
void benchmark_interference(Device& device, World& world, double seconds, std::ostream& out);

/// "kernels", "collectives", "codecs", "interference".
[[nodiscard]] std::vector<std::string> benchmark_names();
/// One of them with its defaults; `effort` times as long, with fewer payloads where it is less
/// than one.
void run_benchmark(std::string_view name, Device& device, World& world, double effort,
                   std::ostream& out);

}  // namespace foretrain::trainer
