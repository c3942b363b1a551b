// SPDX-License-Identifier: Apache-2.0
// What a GPU computes number by number or row by row, against the processor. Widths are once a
// multiple of what a thread loads at once, once not, and once more than a block takes in one go.
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/cuda/gpu.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

constexpr double kFp32 = 1e-5;

std::int64_t widths() { return GENERATE(24, 67, 2056); }

TEST_CASE("a GPU's layer norm is the processor's, forward and backward", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t hidden = widths();
  const std::int64_t rows = GENERATE(1, 37);
  const Both in = pair->random(rows * hidden, 1, 3);
  const Both weight = pair->random(hidden, 2);
  const Both bias = pair->random(hidden, 3);
  const Both out = pair->zeros(rows * hidden);
  const Both statistics = pair->zeros(2 * rows, Type::fp32);
  pair->gpu().layer_norm(out.gpu, statistics.gpu, in.gpu, weight.gpu, bias.gpu, hidden);
  pair->cpu().layer_norm(out.cpu, statistics.cpu, in.cpu, weight.cpu, bias.cpu, hidden);
  CHECK(pair->difference(out) <= kBf16Rounding);
  CHECK(pair->difference(statistics) <= kFp32);

  const Both out_gradient = pair->random(rows * hidden, 4);
  const Both in_gradient = pair->random(rows * hidden, 5);
  const Both weight_gradient = pair->random(hidden, 6, 1, Type::fp32);
  const Both bias_gradient = pair->random(hidden, 7, 1, Type::fp32);
  pair->gpu().layer_norm_gradient(in_gradient.gpu, weight_gradient.gpu, bias_gradient.gpu,
                                  out_gradient.gpu, in.gpu, weight.gpu, statistics.gpu, hidden);
  pair->cpu().layer_norm_gradient(in_gradient.cpu, weight_gradient.cpu, bias_gradient.cpu,
                                  out_gradient.cpu, in.cpu, weight.cpu, statistics.cpu, hidden);
  CHECK(pair->difference(in_gradient) <= kBf16Rounding);
  CHECK(pair->difference(weight_gradient) <= kFp32);
  CHECK(pair->difference(bias_gradient) <= kFp32);
}

TEST_CASE("a GPU's gradient of a bias is the processor's", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t outputs = GENERATE(3, 264, 320);
  const std::int64_t rows = GENERATE(1, 100, 1100);
  const Both out_gradient = pair->random(rows * outputs, 1);
  const Both gradient = pair->random(outputs, 2, 1, Type::fp32);
  pair->gpu().bias_gradient(gradient.gpu, out_gradient.gpu, outputs);
  pair->cpu().bias_gradient(gradient.cpu, out_gradient.cpu, outputs);
  CHECK(pair->difference(gradient) <= kFp32);
}

TEST_CASE("a GPU's embeddings and their gradients are the processor's", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const std::int64_t hidden = widths();
  const std::int64_t sequence = 4;
  // Rows 10 to 13; two tokens of other ranks, and two that are the same.
  const Both tokens = pair->integers({12, 9, 10, 13, 14, 12, 11, 11});
  const Both table = pair->random(4 * hidden, 1);
  const Both positions = pair->random((sequence + 1) * hidden, 2);  // one is not used
  const Both out = pair->random(8 * hidden, 3);
  pair->gpu().embedding(out.gpu, tokens.gpu, table.gpu, 10, hidden);
  pair->cpu().embedding(out.cpu, tokens.cpu, table.cpu, 10, hidden);
  CHECK(pair->difference(out) == 0);
  pair->gpu().add_positions(out.gpu, positions.gpu, sequence, hidden);
  pair->cpu().add_positions(out.cpu, positions.cpu, sequence, hidden);
  CHECK(pair->difference(out) <= kBf16Rounding);

  const Both gradient = pair->random(8 * hidden, 4);
  const Both table_gradient = pair->random(4 * hidden, 5, 1, Type::fp32);
  const Both positions_gradient = pair->random((sequence + 1) * hidden, 6, 1, Type::fp32);
  pair->gpu().embedding_gradient(table_gradient.gpu, gradient.gpu, tokens.gpu, 10, hidden);
  pair->cpu().embedding_gradient(table_gradient.cpu, gradient.cpu, tokens.cpu, 10, hidden);
  CHECK(pair->difference(table_gradient) <= kFp32);
  pair->gpu().positions_gradient(positions_gradient.gpu, gradient.gpu, sequence, hidden);
  pair->cpu().positions_gradient(positions_gradient.cpu, gradient.cpu, sequence, hidden);
  CHECK(pair->difference(positions_gradient) <= kFp32);
}

TEST_CASE("a GPU's GELU and sums are the processor's", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const std::int64_t outputs = widths();
  const std::int64_t count = 3 * outputs;
  const Both in = pair->random(count, 1, 8);
  const Both out = pair->zeros(count);
  SECTION("GELU") {
    pair->gpu().gelu(out.gpu, in.gpu);
    pair->cpu().gelu(out.cpu, in.cpu);
    CHECK(pair->difference(out) <= kBf16Rounding);
  }
  SECTION("its gradient") {
    const Both gradient = pair->random(count, 2);
    pair->gpu().gelu_gradient(gradient.gpu, in.gpu);
    pair->cpu().gelu_gradient(gradient.cpu, in.cpu);
    CHECK(pair->difference(gradient) <= kBf16Rounding);
  }
  SECTION("a sum, with or without a bias") {
    const Both other = pair->random(count, 3);
    const Both bias = pair->random(outputs, 4);
    const bool has_bias = GENERATE(false, true);
    pair->gpu().add(out.gpu, in.gpu, other.gpu, has_bias ? bias.gpu.tensor() : Tensor{}, outputs);
    pair->cpu().add(out.cpu, in.cpu, other.cpu, has_bias ? bias.cpu.tensor() : Tensor{}, outputs);
    CHECK(pair->difference(out) <= kBf16Rounding);
  }
  SECTION("a bias added in place") {
    const Both bias = pair->random(outputs, 5);
    pair->gpu().add_bias(in.gpu, bias.gpu, outputs);
    pair->cpu().add_bias(in.cpu, bias.cpu, outputs);
    CHECK(pair->difference(in) <= kBf16Rounding);
  }
}

TEST_CASE("a GPU's cross-entropy is the processor's", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t columns = GENERATE(24, 67, 8200);
  const std::int64_t rows = 4;
  const std::int64_t first = 100;
  const Both logits = pair->random(rows * columns, 1, 10);
  const Both targets = pair->integers(
      {100, 99, static_cast<std::int32_t>(99 + columns), static_cast<std::int32_t>(100 + columns)});
  const Both row_max = pair->zeros(rows, Type::fp32);
  const Both sums = pair->zeros(2 * rows, Type::fp32);
  const Both losses = pair->zeros(rows, Type::fp32);
  pair->gpu().row_maximum(row_max.gpu, logits.gpu, columns);
  pair->cpu().row_maximum(row_max.cpu, logits.cpu, columns);
  CHECK(pair->difference(row_max) == 0);
  pair->gpu().softmax_sums(sums.gpu, logits.gpu, row_max.gpu, targets.gpu, first, columns);
  pair->cpu().softmax_sums(sums.cpu, logits.cpu, row_max.cpu, targets.cpu, first, columns);
  CHECK(pair->difference(sums) <= kFp32);
  pair->gpu().cross_entropy_gradient(losses.gpu, logits.gpu, row_max.gpu, sums.gpu, targets.gpu,
                                     first, columns, 0.5F);
  pair->cpu().cross_entropy_gradient(losses.cpu, logits.cpu, row_max.cpu, sums.cpu, targets.cpu,
                                     first, columns, 0.5F);
  CHECK(pair->difference(losses) <= kFp32);
  CHECK(pair->difference(logits) <= kBf16Rounding);
}

TEST_CASE("a GPU's AdamW is the processor's, and parameters are the master's", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const std::int64_t count = GENERATE(64, 1027);
  const Both parameters = pair->zeros(count);
  const Both master = pair->random(count, 1, 1, Type::fp32);
  const Both first = pair->random(count, 2, 0.1F, Type::fp32);
  const Both second =
      pair->numbers(std::vector<float>(static_cast<std::size_t>(count), 0.01F), Type::fp32);
  const Both gradient = pair->random(count, 3, 1, Type::fp32);
  AdamW how;
  how.step = 3;
  how.learning_rate = 0.01F;
  how.gradient_scale = 0.5F;
  pair->gpu().adamw(parameters.gpu, master.gpu, first.gpu, second.gpu, gradient.gpu, how);
  pair->cpu().adamw(master.cpu, master.cpu, first.cpu, second.cpu, gradient.cpu, how);
  CHECK(pair->difference(master) <= 1e-6);
  CHECK(pair->difference(first) <= 1e-6);
  CHECK(pair->difference(second) <= 1e-6);
  CHECK(pair->difference({parameters.gpu, master.cpu}) <= kBf16Rounding);
}

TEST_CASE("a GPU's sum of squares is the processor's", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t count = GENERATE(1, 1000, 300'000);  // the last: more than all threads at once
  const Both in = pair->random(count, 1, 1, Type::fp32);
  const Both sum = pair->numbers({2.0F}, Type::fp32);
  pair->gpu().add_sum_of_squares(sum.gpu, in.gpu);
  pair->cpu().add_sum_of_squares(sum.cpu, in.cpu);
  CHECK(pair->difference(sum) <= kFp32);
}

TEST_CASE("a GPU converts, adds and clears", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const std::int64_t count = GENERATE(64, 1027);
  const Type type = GENERATE(Type::fp32, Type::bf16, Type::fp16);
  const Both in = pair->random(count, 1, 1, Type::fp32);
  const Memory narrow = pair->gpu().allocate(count, type, MemoryClass::buffers);
  pair->gpu().copy(kCompute, narrow, in.gpu);
  CHECK(pair->difference({narrow, in.cpu}) <= (type == Type::fp32 ? 0 : kBf16Rounding));
  const Both sum = pair->random(count, 2, 1, Type::fp32);
  pair->gpu().accumulate(kCompute, sum.gpu, narrow, 0.25F);
  pair->cpu().accumulate(kCompute, sum.cpu, in.cpu, 0.25F);
  CHECK(pair->difference(sum) <= (type == Type::fp32 ? 1e-7 : kBf16Rounding));
  pair->gpu().clear(kCompute, narrow);
  CHECK(pair->gpu_values(narrow) == std::vector<float>(static_cast<std::size_t>(count)));
}

}  // namespace
}  // namespace foretrain::testing
