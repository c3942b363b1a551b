// Kernels that the simulator takes to be limited by memory, with the bytes that models/blocks count
// for them.
// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "sim/core/random.hpp"
#include "strategies/optimizer/optimizer.hpp"
#include "validation/trainer/benchmark_kernels.hpp"

namespace foretrain::trainer {
namespace {

// Legend: N tokens, C hidden width, V rows of the vocabulary, e bytes of an activation.

class MemoryBench {
 public:
  // gelu' is 1 at 8, so that a gradient stays what it is however often it is multiplied.
  MemoryBench(KernelBench& bench, std::int64_t n, std::int64_t c)
      : bench_(bench),
        device_(bench.device),
        n_(n),
        c_(c),
        e_(static_cast<double>(size_of(bench.device.activation_type()))),
        eights_(device_, device_.activation_type(), 4 * n * c, bench.sweep.footprint, 8.0F),
        tokens_(device_.allocate(n, Type::int32, MemoryClass::buffers)) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = static_cast<std::int32_t>(random_word({i, 1}) %
                                            static_cast<std::uint64_t>(bench.sweep.vocabulary));
    }
    device_.upload(tokens_, tokens.data());
  }

  void time_all() {
    time_streams();
    time_norms();
    time_loss();
    time_lookup();
  }

 private:
  double time(const BenchmarkTimer::Call& call) { return bench_.timer.time(kCompute, call); }

  // `bytes` are of an element; `width` of them in each of N rows.
  void write(std::string_view name, std::string_view op, double bytes, std::int64_t width,
             double seconds, bool is_by_rows = false) {
    KernelRow row;
    row.kernel = "memory-bound";
    row.detail = name;
    row.m = n_;
    row.n = width;
    row.dtype = device_.activation_type() == Type::fp32 ? "fp32" : "bf16";
    row.memory_op = op;
    row.bytes = bytes * static_cast<double>(n_) * static_cast<double>(width);
    row.rows = is_by_rows ? n_ : 0;
    row.seconds = seconds;
    bench_.write(row);
  }

  void time_streams() {
    const std::int64_t inner = 4 * c_;
    write("add", "streaming", 3 * e_, c_, time([&](std::int64_t i) {
            const auto in = bench_.inputs.round(i, {n_ * c_, n_ * c_, c_});
            device_.add(bench_.outputs.round(i, {n_ * c_})[0], in[0], in[1], in[2], c_);
          }));
    write("bias_gradient", "streaming", e_, inner, time([&](std::int64_t i) {
            device_.bias_gradient(bench_.gradients.round(i, {inner})[0],
                                  bench_.inputs.round(i, {n_ * inner})[0], inner);
          }));
    write("gelu", "streaming", 2 * e_, inner, time([&](std::int64_t i) {
            device_.gelu(bench_.outputs.round(i, {n_ * inner})[0],
                         bench_.inputs.round(i, {n_ * inner})[0]);
          }));
    write("gelu_gradient", "streaming", 3 * e_, inner, time([&](std::int64_t i) {
            device_.gelu_gradient(bench_.outputs.round(i, {n_ * inner})[0],
                                  eights_.round(i, {n_ * inner})[0]);
          }));
  }

  // The gradient of a norm is added to the one that is there, which models/blocks count as a pass
  // of its own: 4 and 3 tensors are read or written.
  void time_norms() {
    const double forward = time([&](std::int64_t i) {
      const auto in = bench_.inputs.round(i, {n_ * c_, c_, c_});
      device_.layer_norm(bench_.outputs.round(i, {n_ * c_})[0],
                         bench_.gradients.round(i, {2 * n_})[0], in[0], in[1], in[2], c_);
    });
    write("layer_norm", "norm", 2 * e_, c_, forward, true);
    const double backward = time([&](std::int64_t i) {
      const auto in = bench_.inputs.round(i, {n_ * c_, n_ * c_, c_});
      const auto sums = bench_.gradients.round(i, {c_, c_, 2 * n_});
      device_.layer_norm_gradient(bench_.outputs.round(i, {n_ * c_})[0], sums[0], sums[1], in[0],
                                  in[1], in[2], sums[2], c_);
    });
    write("layer_norm_gradient", "norm", 4 * e_, c_, backward * 4 / 7, true);
    write("residual_gradient_add", "streaming", 3 * e_, c_, backward * 3 / 7);
  }

  // Forward 20 bytes in fp32, backward 8, and each a cast where logits are narrower.
  void time_loss() {
    const std::int64_t v = bench_.sweep.vocabulary;
    const double casts = e_ < 4 ? 2 * (e_ + 4) : 0;
    write("cross_entropy", "softmax", 28 + casts, v, time([&](std::int64_t i) {
            const Tensor logits = bench_.outputs.round(i, {n_ * v})[0];
            const auto rows = bench_.gradients.round(i, {n_, 2 * n_, n_});
            device_.row_maximum(rows[0], logits, v);
            device_.softmax_sums(rows[1], logits, rows[0], tokens_, 0, v);
            device_.cross_entropy_gradient(rows[2], logits, rows[0], rows[1], tokens_, 0, v, 1);
          }));
  }

  void time_lookup() {
    const std::int64_t table = bench_.sweep.vocabulary * c_;
    const double forward = time([&](std::int64_t i) {
      device_.embedding(bench_.outputs.round(i, {n_ * c_})[0], tokens_,
                        bench_.inputs.round(i, {table})[0], 0, c_);
    });
    write("embedding", "gather", 2 * e_, c_, forward, true);
    const double backward = time([&](std::int64_t i) {
      device_.embedding_gradient(bench_.gradients.round(i, {table})[0],
                                 bench_.inputs.round(i, {n_ * c_})[0], tokens_, 0, c_);
    });
    write("embedding_gradient", "gather", 3 * e_, c_, backward, true);
  }

  KernelBench& bench_;
  Device& device_;
  std::int64_t n_;
  std::int64_t c_;
  double e_;
  BenchmarkArena eights_;
  Memory tokens_;
};

// One step of a layer's matrices, of which there are as many as make a footprint.
void time_optimizer(KernelBench& bench, std::int64_t c) {
  Device& device = bench.device;
  const std::int64_t count = kLayerMatrices * c * c;
  constexpr std::int64_t kStateBytes = 12;  // fp32: the parameter and two moments
  const std::int64_t layers = 1 + bench.sweep.footprint / (kStateBytes * count);
  const bool is_fp32 = device.activation_type() == Type::fp32;
  const auto state = [&](Type type) {
    return device.allocate(layers * count, type, MemoryClass::buffers);
  };
  const Memory master = state(Type::fp32);
  const Memory first = state(Type::fp32);
  const Memory second = state(Type::fp32);
  const Memory parameters = is_fp32 ? master : state(device.activation_type());
  StateSizes sizes;
  sizes.parameter = static_cast<double>(size_of(device.activation_type()));
  sizes.master = is_fp32 ? 0 : 4;
  KernelRow row;
  row.kernel = "memory-bound";
  row.detail = "adamw";
  row.m = kLayerMatrices * c;
  row.n = c;
  row.dtype = "fp32";
  row.bytes = adam_traffic({TensorKind::matrix, row.m, row.n}, sizes);
  row.seconds = bench.timer.time(kCompute, [&](std::int64_t i) {
    const auto of_layer = [&](const Memory& memory) {
      return memory.tensor().part(i % layers * count, count);
    };
    device.adamw(of_layer(parameters), of_layer(master), of_layer(first), of_layer(second),
                 bench.gradients.round(i, {count})[0], {});
  });
  bench.write(row);
  row.detail = "sum_of_squares";
  row.bytes = 4 * static_cast<double>(count);
  const Memory sum = device.allocate(1, Type::fp32, MemoryClass::buffers);
  row.seconds = bench.timer.time(kCompute, [&](std::int64_t i) {
    device.add_sum_of_squares(sum, bench.gradients.round(i, {count})[0]);
  });
  bench.write(row);
}

}  // namespace

void time_memory_bound(KernelBench& bench) {
  for (const std::int64_t c : bench.sweep.hidden) {
    for (const std::int64_t n : bench.sweep.tokens) {
      MemoryBench(bench, n, c).time_all();
    }
    time_optimizer(bench, c);
  }
}

}  // namespace foretrain::trainer
