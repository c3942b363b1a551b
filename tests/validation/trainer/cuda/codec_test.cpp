// SPDX-License-Identifier: Apache-2.0
// Codecs of a GPU against the processor: both decide alike, so codes and places are the same.
#include <algorithm>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/cuda/gpu.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

TEST_CASE("a GPU's int8 codes are the processor's", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t block = GENERATE(1, 64, 100, 5000);
  const std::int64_t count = 10'300;
  const std::int64_t blocks = (count + block - 1) / block;
  std::vector<float> values = random_values(count, 1);
  std::fill_n(values.begin() + 128, 200, 0.0F);  // some blocks are zero
  const Both in = pair->numbers(values, Type::fp32);
  const Both codes = pair->zeros(count, Type::int8);
  const Both scales = pair->zeros(blocks, Type::fp32);
  pair->gpu().quantize(kCompute, codes.gpu, scales.gpu, in.gpu, block);
  pair->cpu().quantize(kCompute, codes.cpu, scales.cpu, in.cpu, block);
  CHECK(pair->difference(scales) == 0);
  CHECK(pair->difference(codes) == 0);
  const bool accumulates = GENERATE(false, true);
  const Both out = pair->random(count, 2, 1, Type::fp32);
  pair->gpu().dequantize(kCompute, out.gpu, codes.gpu, scales.gpu, block, accumulates);
  pair->cpu().dequantize(kCompute, out.cpu, codes.cpu, scales.cpu, block, accumulates);
  CHECK(pair->difference(out) <= 1e-7);
}

// Several chunks; numbers of many sizes, or of few, so that many are equal to the k-th.
TEST_CASE("a GPU takes the largest numbers that the processor takes", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t count = GENERATE(1, 255, 7001);
  const bool has_ties = GENERATE(false, true);
  std::vector<float> values = random_values(count, 1, 3);
  if (has_ties) {
    std::for_each(values.begin(), values.end(),
                  [](float& x) { x = static_cast<float>(static_cast<int>(x)); });
  }
  for (const std::int64_t k : {std::int64_t{1}, count / 3, count / 2 + 1, count}) {
    INFO(k << " of " << count << (has_ties ? " with ties" : ""));
    const Both in = pair->numbers(values, Type::fp32);
    const Both taken = pair->random(k, 3, 1, Type::fp32);
    const Both places = pair->zeros(k, Type::int32);
    pair->gpu().take_largest(kCompute, taken.gpu, places.gpu, in.gpu, k);
    pair->cpu().take_largest(kCompute, taken.cpu, places.cpu, in.cpu, k);
    CHECK(pair->gpu_values(places.gpu) == pair->cpu_values(places.cpu));
    CHECK(pair->gpu_values(taken.gpu) == pair->cpu_values(taken.cpu));
    CHECK(pair->gpu_values(in.gpu) == pair->cpu_values(in.cpu));
    pair->gpu().scatter_add(kCompute, in.gpu, taken.gpu, places.gpu);
    CHECK(pair->gpu_values(in.gpu) == values);
  }
}

TEST_CASE("a GPU makes the columns orthonormal that the processor makes", "[trainer][cuda]") {
  const unsigned order = GENERATE(0U, 1U, 7U);
  const auto pair = gpu_and_cpu(order);
  if (pair == nullptr) {
    return;
  }
  const std::int64_t columns = GENERATE(1, 4, 32);
  const std::int64_t rows = GENERATE(33, 100);
  std::vector<float> values = random_values(rows * columns, 1);
  if (columns == 4) {  // the third is a sum of the first two: nothing is left of it
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      values[4 * row + 2] = values[4 * row] + values[4 * row + 1];
    }
  }
  const Both matrix = pair->numbers(values, Type::fp32);
  pair->gpu().orthogonalize(kCompute, matrix.gpu, rows, columns);
  pair->cpu().orthogonalize(kCompute, matrix.cpu, rows, columns);
  CHECK(pair->difference(matrix) <= 1e-4);  // of 33 rows in 32 columns little is left at the end
}

TEST_CASE("a GPU's spans have their names, and waiting for old events is refused",
          "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  Device& gpu = pair->gpu();
  const Memory memory = gpu.allocate(1 << 20, Type::fp32, MemoryClass::buffers);
  const Stream other = gpu.add_stream("other");
  CHECK(gpu.stream_names() == std::vector<std::string>{"compute", "other"});
  {
    const SpanScope ignored(gpu, kCompute, "before the start");
    gpu.start_spans();
    const SpanScope outer(gpu, kCompute, "outer");
    gpu.clear(kCompute, memory);
    const Event done = gpu.record(kCompute);
    gpu.wait(other, done);
    const SpanScope inner(gpu, other, "inner");
    gpu.clear(other, memory);
  }
  const std::vector<Span> spans = gpu.take_spans();
  REQUIRE(spans.size() == 2);
  CHECK(spans[0].name == "outer");
  CHECK(spans[1].name == "inner");
  CHECK(spans[1].stream == other.index);
  CHECK(spans[0].start_s <= spans[0].end_s);
  CHECK_THROWS_WITH(gpu.wait(kCompute, Event{12}),
                    "wait for an event that is not there, or no longer");
}

}  // namespace
}  // namespace foretrain::testing
