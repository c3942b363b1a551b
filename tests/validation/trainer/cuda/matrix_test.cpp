// SPDX-License-Identifier: Apache-2.0
// Linear layers and attention of a GPU against the processor. Both sum in fp32, in other orders;
// results are rounded to bf16 once, or, where a GPU rounds in between, as often as is said.
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/cuda/gpu.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

constexpr double kFp32 = 1e-5;

struct Shape {
  std::int64_t tokens;
  std::int64_t outputs;
  std::int64_t inputs;
};

TEST_CASE("a GPU's linear layers are the processor's", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const Shape shape = GENERATE(Shape{33, 40, 24}, Shape{7, 67, 19}, Shape{1, 8, 128});
  const Type type = GENERATE(Type::bf16, Type::fp32);
  const double tolerance = type == Type::bf16 ? kBf16Rounding : kFp32;
  const auto [n, o, i] = shape;
  const Both in = pair->random(n * i, 1, 1, type);
  const Both weight = pair->random(o * i, 2, 1, type);
  const Both bias = pair->random(o + 1, 3, 1, type);
  const Both out = pair->random(n * o, 4, 1, type);
  SECTION("forward") {
    pair->gpu().linear(kCompute, out.gpu, in.gpu, weight.gpu, {}, o, i);
    pair->cpu().linear(kCompute, out.cpu, in.cpu, weight.cpu, {}, o, i);
    CHECK(pair->difference(out) <= tolerance);
  }
  SECTION("forward with a bias, aligned or not") {
    const std::int64_t first = GENERATE(0, 1);
    pair->gpu().linear(kCompute, out.gpu, in.gpu, weight.gpu, bias.gpu.tensor().part(first, o), o,
                       i);
    pair->cpu().linear(kCompute, out.cpu, in.cpu, weight.cpu, bias.cpu.tensor().part(first, o), o,
                       i);
    CHECK(pair->difference(out) <= 2 * tolerance);
  }
  SECTION("to the input") {
    const Both gradient = pair->random(n * i, 5, 1, type);
    pair->gpu().linear_input_gradient(kCompute, gradient.gpu, out.gpu, weight.gpu, o, i);
    pair->cpu().linear_input_gradient(kCompute, gradient.cpu, out.cpu, weight.cpu, o, i);
    CHECK(pair->difference(gradient) <= tolerance);
  }
  SECTION("to the weight, in fp32") {
    const bool accumulates = GENERATE(false, true);
    const Both gradient = pair->random(o * i, 6, 100, Type::fp32);
    pair->gpu().linear_weight_gradient(kCompute, gradient.gpu, out.gpu, in.gpu, o, i, accumulates);
    pair->cpu().linear_weight_gradient(kCompute, gradient.cpu, out.cpu, in.cpu, o, i, accumulates);
    CHECK(pair->difference(gradient) <= kFp32);
  }
}

// One tile and less, two tiles and a rest, a rest of one row; several sequences and heads.
std::vector<AttentionShape> attention_shapes() {
  return {{1, 1, 1, 64},   {2, 2, 77, 64},  {1, 1, 64, 64},
          {1, 2, 65, 128}, {1, 1, 150, 64}, {1, 1, 130, 128}};
}

TEST_CASE("a GPU's attention is the processor's, forward and backward", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  for (const AttentionShape& shape : attention_shapes()) {
    INFO(shape.batch << " sequences of " << shape.sequence << ", " << shape.heads << " heads of "
                     << shape.head_dim);
    const std::int64_t width = shape.tokens() * shape.heads * shape.head_dim;
    const auto saved = [&](Device& device) {
      return device.allocate(device.attention_saved_count(shape), device.attention_saved_type(),
                             MemoryClass::activations);
    };
    const Both qkv = pair->random(3 * width, 1, 2);
    const Both out = pair->random(width, 2);
    const Memory gpu_saved = saved(pair->gpu());
    const Memory cpu_saved = saved(pair->cpu());
    pair->gpu().attention(out.gpu, gpu_saved, qkv.gpu, shape);
    pair->cpu().attention(out.cpu, cpu_saved, qkv.cpu, shape);
    CHECK(pair->difference(out) <= 3 * kBf16Rounding);  // probabilities are rounded, and the sum

    // The same `out` for both: its rounding is no fault of the backward.
    const std::vector<float> values = pair->gpu_values(out.gpu);
    const Both kept = pair->numbers(values);
    const Both out_gradient = pair->random(width, 3);
    const Both gradient = pair->random(3 * width, 4);
    pair->gpu().attention_gradient(gradient.gpu, out_gradient.gpu, kept.gpu, gpu_saved, qkv.gpu,
                                   shape);
    pair->cpu().attention_gradient(gradient.cpu, out_gradient.cpu, kept.cpu, cpu_saved, qkv.cpu,
                                   shape);
    // Of dS, whose rounding is summed over up to 150 keys, and of the result.
    CHECK(pair->difference(gradient) <= 6 * kBf16Rounding);
  }
}

TEST_CASE("a GPU refuses heads that its attention has no kernel for", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const AttentionShape shape{1, 1, 4, 32};
  const Memory qkv = pair->gpu().allocate(3 * 4 * 32, Type::bf16, MemoryClass::buffers);
  const Memory out = pair->gpu().allocate(4 * 32, Type::bf16, MemoryClass::buffers);
  const Memory saved = pair->gpu().allocate(4, Type::fp32, MemoryClass::buffers);
  CHECK_THROWS_WITH(pair->gpu().attention(out, saved, qkv, shape),
                    "attention: on a GPU heads are 64 or 128 wide, not 32");
}

}  // namespace
}  // namespace foretrain::testing
