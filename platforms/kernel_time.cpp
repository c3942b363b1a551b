// How long a kernel takes: a launch floor plus the quadrature sum of two limits, t0 + hypot(a, b).
// Between the two regimes a kernel overlaps compute and memory imperfectly; the sum in quadrature
// follows measured GEMMs of A100, H100, A40 and V100 within a point or two of a look-up table (a
// free exponent fits at 1.9 to 2.1), with three to five numbers per GPU and data type.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <map>
#include <variant>

#include "platforms/gpu.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

constexpr double kTile = 128;  // rows (and columns) of the output tile that one SM works on

// Legend: F = FLOPs, Q = bytes touched once, Tc = compute limit, Tm = memory limit.

double number(std::int64_t count) { return static_cast<double>(count); }

template <class Key, class Value>
const Value& entry(const std::map<Key, Value>& table, Key key, const char* what) {
  const auto found = table.find(key);
  FORETRAIN_ASSERT(found != table.end(), what);
  return found->second;
}

// Tensor-core kernels load 16 bytes at a time, so misaligned rows fall back to slower kernels: a
// step, not a slope. Measured in 16 bit: H100 SwiGLU with d_ff = 10922 takes 1.46 times as long as
// its neighbours (stas00/ml-engineering); V100 with multiples of 4, 1.03 to 1.12 (DeepBench).
double alignment_of(std::int64_t dimension) {
  if (dimension % 8 == 0) {
    return 1.0;
  }
  return dimension % 4 == 0 ? 1.05 : 1.45;
}

// Attention's batched GEMMs are choosier about the head dimension. 1.15 is set; 12 is what runs of
// BLOOM with head dimensions 108 and 150 ask for, whose layouts of the same size with 144 and 216
// run at full speed (BigScience's throughput tables): their kernels presumably leave the tensor
// cores.
double head_alignment_of(std::int64_t dimension) {
  if (dimension % 64 == 0) {
    return 1.0;
  }
  return dimension % 8 == 0 ? 1.15 : 12.0;
}

// Rows run along k and n, except in a weight gradient, which sums over k = tokens: there the rows
// of both inputs and of the output run along m and n.
double alignment(const Gemm& gemm) {
  if (gemm.batch > 1 && !gemm.is_grouped) {  // attention: the head dimension is shorter than s
    return std::max(head_alignment_of(std::min(gemm.n, gemm.k)),
                    alignment_of(std::max(gemm.n, gemm.k)));
  }
  const std::int64_t other = gemm.pass == GemmPass::weight_gradient ? gemm.m : gemm.k;
  return std::max(alignment_of(other), alignment_of(gemm.n));
}

Seconds time_of(const Gemm& gemm, Flops work, const Gpu& gpu) {
  const GemmFit& fit = entry(gpu.gemm, gemm.dtype, "no GEMM fit for this data type");
  const double pass = gemm.pass == GemmPass::weight_gradient ? gpu.weight_gradient.value : 1.0;
  const FlopsPerSecond rate = entry(gpu.peak, gemm.dtype, "no peak for this data type").value *
                              (fit.efficiency.value * pass * gpu.sustained.value);
  const double outputs = number(gemm.batch) * number(gemm.m) * number(gemm.n);
  const double inputs = number(gemm.batch) * number(gemm.k) * (number(gemm.m) + number(gemm.n));

  const double pipeline_fill = 1.0 + fit.k_fill / number(gemm.k);
  const double last_wave = 1.0 + fit.occupancy * number(gpu.sms) * kTile * kTile / outputs;
  const Seconds compute = work / rate * (pipeline_fill * last_wave);
  const Bytes traffic = size_of(gemm.dtype) * inputs + Bytes(gemm.output_bytes) * outputs;
  const Seconds memory = traffic / (gpu.memory_rate.value * fit.bandwidth.value);
  const Seconds floor =
      gemm.is_grouped ? gpu.grouped_floor.value * number(gemm.batch) : fit.floor.value;
  return floor + hypot(compute, memory) * alignment(gemm);
}

// The second limit is the tail: one tile of 128 query rows against all keys on a single SM. It
// matters when batch * heads * query_length / 128 is not much more than the number of SMs.
Seconds time_of(const FlashAttention& flash, Flops work, const Gpu& gpu) {
  const FlashFit& fit = entry(flash.is_backward ? gpu.flash_backward : gpu.flash_forward,
                              flash.version, "no fit for this flash kernel");
  const FlopsPerSecond rate = entry(gpu.peak, flash.dtype, "no peak for this data type").value *
                              (fit.efficiency.value * gpu.sustained.value);
  const double dims = number(flash.qk_head_dim) + number(flash.v_head_dim);
  const double matmuls = flash.is_backward ? 2.5 : 1.0;  // five against two, as in flops()
  const Flops tile(2.0 * kTile * number(flash.key_length) * dims * matmuls);
  const Seconds tail = tile / (rate / number(gpu.sms)) * fit.tail;
  return gpu.flash_floor.value + hypot(work / rate, tail);
}

// Each SM takes whole rows, one after another, at the kernel's own rate of instructions; where that
// rate is known, it and a plain stream are the two limits.
Seconds time_of(const MemoryBound& kernel, Flops, const Gpu& gpu) {
  const auto rate = gpu.element_rate.find(kernel.op);
  if (rate != gpu.element_rate.end() && kernel.rows > 0) {
    const double stream = entry(gpu.memory_share, MemoryOp::streaming, "no streaming share").value;
    const double rows_per_sm = number((kernel.rows + gpu.sms - 1) / gpu.sms);
    const Seconds instructions(rows_per_sm * kernel.row_elements /
                               (rate->second.value * gpu.clock.value.value));
    return gpu.memory_floor.value +
           std::max(kernel.bytes / (gpu.memory_rate.value * stream), instructions);
  }
  const double share = entry(gpu.memory_share, kernel.op, "no share for this memory op").value;
  return gpu.memory_floor.value + kernel.bytes / (gpu.memory_rate.value * share);
}

}  // namespace

Seconds kernel_time(const Kernel& kernel, const Gpu& gpu) {
  const Flops work = flops(kernel);
  return std::visit([&](const auto& shape) { return time_of(shape, work, gpu); }, kernel.shape);
}

}  // namespace foretrain
