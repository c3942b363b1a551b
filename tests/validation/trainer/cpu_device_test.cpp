// SPDX-License-Identifier: Apache-2.0
// Forward kernels of the processor against plain loops in double precision. Numbers are of size 1,
// so a sum of K of them in fp32 is off by K 2^-24 at most: 6e-8 K. Sizes are odd, so that no row
// fills its vectors.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/reference.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

constexpr double kRounding = 6e-8;

TEST_CASE("linear layers multiply by the transposed weight and add the bias", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = GENERATE(1, 7, 33);
  const std::int64_t inputs = GENERATE(5, 67);
  const std::int64_t outputs = 19;
  const Doubles in = random_numbers(rows * inputs, 1);
  const Doubles weight = random_numbers(outputs * inputs, 2);
  const Doubles bias = random_numbers(outputs, 3);
  const Memory out = upload(*device, random_numbers(rows * outputs, 4));
  const double tolerance = kRounding * static_cast<double>(inputs + 1);
  SECTION("with a bias") {
    device->linear(kCompute, out, upload(*device, in), upload(*device, weight),
                   upload(*device, bias), outputs, inputs);
    CHECK(worst(download(*device, out), linear(in, weight, bias, inputs)) < tolerance);
  }
  SECTION("without") {
    device->linear(kCompute, out, upload(*device, in), upload(*device, weight), Tensor{}, outputs,
                   inputs);
    CHECK(worst(download(*device, out), linear(in, weight, {}, inputs)) < tolerance);
    device->add_bias(out, upload(*device, bias), outputs);
    CHECK(worst(download(*device, out), linear(in, weight, bias, inputs)) < tolerance);
  }
}

TEST_CASE("embedding copies the rows of tokens that are this rank's", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t hidden = 5;
  const Doubles table = random_numbers(4 * hidden, 1);  // rows 10 to 13 of the vocabulary
  const Memory out = upload(*device, random_numbers(6 * hidden, 2));
  device->embedding(out, upload(*device, std::vector<std::int32_t>{12, 9, 10, 13, 14, 12}),
                    upload(*device, table), 10, hidden);
  Doubles expected(6 * static_cast<std::size_t>(hidden));
  const auto row = [&](std::int64_t to, std::int64_t from) {
    std::copy_n(table.begin() + from * hidden, hidden, expected.begin() + to * hidden);
  };
  row(0, 2);
  row(2, 0);
  row(3, 3);
  row(5, 2);
  CHECK(download(*device, out) == expected);
}

TEST_CASE("positions are added by place in the sequence", "[trainer]") {
  const auto device = cpu_device();
  const Memory out = upload(*device, Doubles{0, 0, 10, 20, 30, 40, 50, 60});
  device->add_positions(out, upload(*device, Doubles{1, 2, 3, 4}), 2, 2);
  CHECK(download(*device, out) == Doubles{1, 2, 13, 24, 31, 42, 53, 64});
}

TEST_CASE("layer norm gives each row its mean and deviation", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = 3;
  const std::int64_t hidden = GENERATE(5, 67);
  const Doubles in = random_numbers(rows * hidden, 1);
  const Doubles weight = random_numbers(hidden, 2);
  const Doubles bias = random_numbers(hidden, 3);
  const Memory out = zeros(*device, rows * hidden);
  const Memory statistics = zeros(*device, 2 * rows);
  device->layer_norm(out, statistics, upload(*device, in), upload(*device, weight),
                     upload(*device, bias), hidden);
  // Deviations are 0.58 of uniform numbers; roundings of the mean and of the sum of squares are
  // divided by that.
  CHECK(worst(download(*device, out), layer_norm(in, weight, bias)) <
        10 * kRounding * std::sqrt(static_cast<double>(hidden)));
  for (std::int64_t n = 0; n < rows; ++n) {
    const auto first = in.begin() + n * hidden;
    const double mean = std::accumulate(first, first + hidden, 0.0) / static_cast<double>(hidden);
    CHECK_THAT(statistics.tensor().as<float>()[n], Catch::Matchers::WithinAbs(mean, 1e-6));
  }
}

TEST_CASE("attention sees the tokens before it and itself", "[trainer]") {
  const auto device = cpu_device();
  // Sequences within one block of rows, and over two.
  const AttentionShape shape =
      GENERATE(AttentionShape{1, 1, 1, 3}, AttentionShape{2, 3, 7, 5}, AttentionShape{1, 2, 77, 9});
  const Doubles qkv = random_numbers(shape.tokens() * 3 * shape.heads * shape.head_dim, 1);
  const Memory out = zeros(*device, shape.tokens() * shape.heads * shape.head_dim);
  const Memory saved = zeros(*device, device->attention_saved_count(shape));
  device->attention(out, saved, upload(*device, qkv), shape);
  // Scores and values of size 1, averaged; exp is right to some units in the last place.
  CHECK(worst(download(*device, out), attention(qkv, shape)) < 20 * kRounding);
}

TEST_CASE("GELU follows its formula far from zero too", "[trainer]") {
  const auto device = cpu_device();
  Doubles in = random_numbers(2051, 1);  // two chunks and a rest
  for (double& each : in) {
    each *= 8;
  }
  const Memory out = zeros(*device, 2051);
  device->gelu(out, upload(*device, in));
  CHECK(worst(download(*device, out), gelu(in)) < 8 * 10 * kRounding);
}

TEST_CASE("sums of two tensors may be one of them", "[trainer]") {
  const auto device = cpu_device();
  const Doubles a = {1, 2, 3, 4, 5, 6};
  const Doubles b = {10, 20, 30, 40, 50, 60};
  const Memory out = upload(*device, a);
  device->add(out, out, upload(*device, b), Tensor{}, 3);
  CHECK(download(*device, out) == Doubles{11, 22, 33, 44, 55, 66});
  device->add(out, upload(*device, a), out, upload(*device, Doubles{100, 200, 300}), 3);
  CHECK(download(*device, out) == Doubles{112, 224, 336, 148, 260, 372});
}

TEST_CASE("AdamW takes the steps of its paper, decay apart from the moments", "[trainer]") {
  // Loshchilov and Hutter 2019, algorithm 2, with schedule 1.
  const auto device = cpu_device();
  const std::int64_t count = 37;
  Doubles p = random_numbers(count, 1);
  Doubles m(p.size());
  Doubles v(p.size());
  const Memory parameters = upload(*device, p);
  const Memory first = zeros(*device, count);
  const Memory second = zeros(*device, count);
  AdamW how;
  how.learning_rate = 0.01F;
  how.gradient_scale = 0.5F;
  for (how.step = 1; how.step <= 3; ++how.step) {
    const Doubles gradient = random_numbers(count, static_cast<std::uint32_t>(10 + how.step));
    device->adamw(parameters, parameters, first, second, upload(*device, gradient), how);
    const auto t = static_cast<double>(how.step);
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double g = gradient[i] * 0.5;
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.95 * v[i] + 0.05 * g * g;
      const double corrected = m[i] / (1 - std::pow(0.9, t));
      const double deviation = std::sqrt(v[i] / (1 - std::pow(0.95, t))) + 1e-8;
      p[i] -= 0.01 * (corrected / deviation + 0.1 * p[i]);
    }
  }
  CHECK(worst(download(*device, first), m) < 10 * kRounding);
  CHECK(worst(download(*device, second), v) < 10 * kRounding);
  CHECK(worst(download(*device, parameters), p) < 10 * kRounding);
}

TEST_CASE("AdamW writes the parameters that are not their own masters", "[trainer]") {
  const auto device = cpu_device();
  const Memory master = upload(*device, Doubles{1, 2});
  const Memory parameters = zeros(*device, 2);
  const Memory moments = zeros(*device, 4);
  const Tensor first = moments.tensor().part(0, 2);
  const Tensor second = moments.tensor().part(2, 2);
  device->adamw(parameters, master, first, second, upload(*device, Doubles{1, -1}), AdamW{});
  CHECK(download(*device, parameters) == download(*device, master));
  CHECK(download(*device, master) != Doubles{1, 2});
}

TEST_CASE("a sum of squares is added, and exact over many numbers", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t count = 100'001;
  const Memory total = upload(*device, Doubles{1});
  const Doubles numbers = random_numbers(count, 1);
  device->add_sum_of_squares(total, upload(*device, numbers));
  CHECK_THAT(download(*device, total)[0] / (1 + dot(numbers, numbers)),
             Catch::Matchers::WithinAbs(1, 1e-6));
}

TEST_CASE("copies to half precision round to the nearest, ties to even", "[trainer]") {
  const auto device = cpu_device();
  const Doubles in = {1, -2.5, 2049, 2051, 65504, 1e6, 6e-8, 1e-9, 0.1};
  const Memory halves = device->allocate(9, Type::fp16, MemoryClass::buffers);
  const Memory out = zeros(*device, 9);
  device->copy(kCompute, halves, upload(*device, in));
  device->copy(kCompute, out, halves);
  const Doubles got = download(*device, out);
  // 6e-8 is nearest to the smallest half, 2^-24; 0.1 is nearest to 1638 / 2^14.
  CHECK(got == Doubles{1, -2.5, 2048, 2052, 65504, std::numeric_limits<double>::infinity(),
                       std::ldexp(1, -24), 0, std::ldexp(1638, -14)});
  const Memory sums = upload(*device, Doubles(9, 1.0));
  device->accumulate(kCompute, sums, halves, 2);
  CHECK(download(*device, sums)[1] == 1 + 2 * -2.5);
  device->clear(kCompute, sums);
  CHECK(download(*device, sums) == Doubles(9, 0.0));
}

TEST_CASE("memory is counted by class and forgotten when it goes", "[trainer]") {
  const auto device = cpu_device();
  {
    const Memory weights = device->allocate(100, Type::fp32, MemoryClass::parameters);
    const Memory codes = device->allocate(100, Type::int8, MemoryClass::buffers);
    CHECK(device->current_bytes(MemoryClass::parameters) == 400);
    CHECK(device->current_bytes(MemoryClass::buffers) == 100);
  }
  CHECK(device->current_bytes(MemoryClass::parameters) == 0);
  CHECK(device->peak_bytes() == 500);
  CHECK(device->used_bytes() > 0);
}

}  // namespace
}  // namespace foretrain::testing
