// Products of matrices, attention, and the table that all kernels go into.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/benchmark_kernels.hpp"

#include <algorithm>
#include <ostream>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "sim/core/csv.hpp"

namespace foretrain::trainer {
namespace {

/// out [N, O] = in [N, I] weight [O, I]'.
struct Linear {
  std::int64_t n = 0;
  std::int64_t o = 0;
  std::int64_t i = 0;
  auto operator<=>(const Linear&) const = default;
};

// Training has no others, and what they cost is no number of a GPU file (see kernel_table.cpp).
bool is_usual(const Linear& linear) {
  constexpr std::int64_t kMultiple = 8;
  return linear.n % kMultiple == 0 && linear.o % kMultiple == 0 && linear.i % kMultiple == 0 &&
         linear.o > 0 && linear.i > 0;
}

std::vector<Linear> linears_of(const KernelSweep& sweep) {
  constexpr std::int64_t kMostSlender = 4;
  std::set<Linear> all;
  for (const std::int64_t h : sweep.hidden) {
    for (const std::int64_t n : sweep.tokens) {
      for (const std::int64_t t : sweep.tensor) {
        all.insert({{n, 3 * h / t, h},
                    {n, h, h / t},
                    {n, 4 * h / t, h},
                    {n, h, 4 * h / t},
                    {n, sweep.vocabulary / t, h}});
      }
    }
  }
  for (const std::int64_t n : sweep.squares) {
    for (const std::int64_t o : sweep.squares) {
      for (const std::int64_t i : sweep.squares) {
        if (std::max({n, o, i}) <= kMostSlender * std::min({n, o, i})) {
          all.insert({n, o, i});
        }
      }
    }
  }
  std::erase_if(all, [](const Linear& linear) { return !is_usual(linear); });
  return {all.begin(), all.end()};
}

bool is_before(const AttentionShape& a, const AttentionShape& b) {
  return std::tie(a.batch, a.heads, a.sequence) < std::tie(b.batch, b.heads, b.sequence);
}

std::vector<AttentionShape> attentions_of(const KernelSweep& sweep) {
  std::set<AttentionShape, decltype(&is_before)> all(&is_before);
  for (const std::int64_t h : sweep.hidden) {
    for (const std::int64_t n : sweep.tokens) {
      for (const std::int64_t t : sweep.tensor) {
        const std::int64_t sequence = std::min(n, sweep.sequence);
        if (const std::int64_t heads = h / sweep.head_dim / t; heads > 0) {
          all.insert({n / sequence, heads, sequence, sweep.head_dim});
        }
      }
    }
  }
  return {all.begin(), all.end()};
}

// Numbers of the largest kernel's operands, with room to align them.
std::int64_t largest_operands(const KernelSweep& sweep) {
  constexpr std::int64_t kSlack = 4096;
  std::int64_t largest = 0;
  for (const Linear& linear : linears_of(sweep)) {
    largest = std::max(largest, linear.n * (linear.o + linear.i) + linear.o * linear.i);
  }
  for (const std::int64_t h : sweep.hidden) {
    for (const std::int64_t n : sweep.tokens) {
      largest = std::max({largest, 8 * n * h, n * sweep.vocabulary, sweep.vocabulary * h});
    }
  }
  return largest + kSlack;
}

// Of fp32: gradients of matrices, of a table, of a layer; statistics.
std::int64_t largest_gradients(const KernelSweep& sweep) {
  constexpr std::int64_t kSlack = 4096;
  std::int64_t largest = 0;
  for (const Linear& linear : linears_of(sweep)) {
    largest = std::max(largest, linear.o * linear.i);
  }
  for (const std::int64_t h : sweep.hidden) {
    largest = std::max({largest, sweep.vocabulary * h, kLayerMatrices * h * h});
    for (const std::int64_t n : sweep.tokens) {
      largest = std::max(largest, 4 * (n + h));
    }
  }
  return largest + kSlack;
}

constexpr std::string_view kColumns =
    "kernel,op_detail,m,n,k,batch,dtype,layout,accumulate,seq_length,heads,head_dim,memory_op,"
    "bytes,rows,time_us,gpu\n";

std::string number(std::int64_t value) { return value == 0 ? "" : std::to_string(value); }

void time_linear(KernelBench& bench, const Linear& shape) {
  const std::int64_t n = shape.n;
  const std::int64_t o = shape.o;
  const std::int64_t i = shape.i;
  const bool is_fp32 = bench.device.activation_type() == Type::fp32;
  KernelRow row;
  row.kernel = "gemm";
  row.dtype = is_fp32 ? "fp32 in, fp32 out" : "bf16 in, bf16 out";
  row.detail = "linear";
  row.layout = "TN";
  row.m = n;
  row.n = o;
  row.k = i;
  row.seconds = bench.timer.time(kCompute, [&bench, n, o, i](std::int64_t round) {
    const auto in = bench.inputs.round(round, {n * i, o * i});
    const auto out = bench.outputs.round(round, {n * o});
    bench.device.linear(kCompute, out[0], in[0], in[1], Tensor{}, o, i);
  });
  bench.write(row);
  row.detail = "linear_input_gradient";
  row.layout = "NN";
  row.n = i;
  row.k = o;
  row.seconds = bench.timer.time(kCompute, [&bench, n, o, i](std::int64_t round) {
    const auto in = bench.inputs.round(round, {n * o, o * i});
    const auto out = bench.outputs.round(round, {n * i});
    bench.device.linear_input_gradient(kCompute, out[0], in[0], in[1], o, i);
  });
  bench.write(row);
  row.detail = "linear_weight_gradient";
  row.layout = "NT";
  row.dtype = is_fp32 ? "fp32 in, fp32 out" : "bf16 in, fp32 out";
  row.m = o;
  row.n = i;
  row.k = n;
  row.is_accumulated = true;
  row.seconds = bench.timer.time(kCompute, [&bench, n, o, i](std::int64_t round) {
    const auto in = bench.inputs.round(round, {n * o, n * i});
    const auto out = bench.gradients.round(round, {o * i});
    bench.device.linear_weight_gradient(kCompute, out[0], in[0], in[1], o, i, true);
  });
  bench.write(row);
}

void time_attention_of(KernelBench& bench, const AttentionShape& shape) {
  const std::int64_t count = shape.tokens() * shape.heads * shape.head_dim;
  const auto in = bench.inputs.round(0, {3 * count, count});
  const auto out = bench.outputs.round(0, {count, 3 * count});
  const Memory saved =
      bench.device.allocate(bench.device.attention_saved_count(shape),
                            bench.device.attention_saved_type(), MemoryClass::buffers);
  KernelRow row;
  row.kernel = "attention fwd";
  row.dtype = bench.device.activation_type() == Type::fp32 ? "fp32" : "bf16";
  row.attention = shape;
  row.seconds = bench.timer.time(
      kCompute, [&](std::int64_t) { bench.device.attention(out[0], saved, in[0], shape); });
  bench.write(row);
  row.kernel = "attention bwd";
  row.seconds = bench.timer.time(kCompute, [&](std::int64_t) {
    bench.device.attention_gradient(out[1], in[1], out[0], saved, in[0], shape);
  });
  bench.write(row);
}

}  // namespace

KernelBench::KernelBench(Device& device_in, World& world_in, const KernelSweep& sweep_in,
                         std::ostream& out_in)
    : device(device_in),
      world(world_in),
      sweep(sweep_in),
      out(out_in),
      hardware(csv_cell(device_in.description())),
      timer(device_in, world_in, sweep_in.seconds),
      inputs(device_in, device_in.activation_type(), largest_operands(sweep_in),
             sweep_in.footprint),
      outputs(device_in, device_in.activation_type(), largest_operands(sweep_in),
              sweep_in.footprint),
      gradients(device_in, Type::fp32, largest_gradients(sweep_in), sweep_in.footprint) {}

void KernelBench::write(const KernelRow& row) {
  if (world.rank() != 0) {
    return;
  }
  const AttentionShape& a = row.attention;
  const std::string bytes = row.bytes > 0 ? fmt::format("{:.0f}", row.bytes) : "";
  out << fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.4g},{}\n", row.kernel,
                     row.detail, number(row.m), number(row.n), number(row.k), number(a.batch),
                     csv_cell(row.dtype), row.layout, row.is_accumulated ? "yes" : "",
                     number(a.sequence), number(a.heads), number(a.head_dim), row.memory_op, bytes,
                     number(row.rows), row.seconds * 1e6, hardware);
}

void time_linears(KernelBench& bench) {
  for (const Linear& linear : linears_of(bench.sweep)) {
    time_linear(bench, linear);
  }
}

void time_attention(KernelBench& bench) {
  for (const AttentionShape& shape : attentions_of(bench.sweep)) {
    time_attention_of(bench, shape);
  }
}

void benchmark_kernels(Device& device, World& world, const KernelSweep& sweep, std::ostream& out) {
  KernelBench bench(device, world, sweep, out);
  if (world.rank() == 0) {
    out << kColumns;
  }
  time_linears(bench);
  time_attention(bench);
  time_memory_bound(bench);
}

}  // namespace foretrain::trainer
