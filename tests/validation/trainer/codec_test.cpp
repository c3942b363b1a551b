// SPDX-License-Identifier: Apache-2.0
// Codecs of gradients on the processor, by what they promise.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/reference.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

TEST_CASE("codes of int8 are off by half of their block's scale at most", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t count = 1000;  // seven blocks and a shorter one
  const std::int64_t block = 131;
  Doubles numbers = random_numbers(count, 1);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = std::ldexp(numbers[i], static_cast<int>(i % 131 == 0 ? 0 : i / 131) - 10);
  }
  const Memory in = upload(*device, numbers);
  const Memory codes = device->allocate(count, Type::int8, MemoryClass::buffers);
  const Memory scales = zeros(*device, 8);
  const Memory out = upload(*device, random_numbers(count, 2));
  device->quantize(kCompute, codes, scales, in, block);
  device->dequantize(kCompute, out, codes, scales, block, false);
  const Doubles got = download(*device, out);
  const Doubles each_scale = download(*device, scales);
  for (std::size_t b = 0; b < each_scale.size(); ++b) {
    const std::size_t end = std::min<std::size_t>((b + 1) * 131, 1000);
    double largest = 0;
    double error = 0;
    for (std::size_t i = b * 131; i < end; ++i) {
      largest = std::max(largest, std::abs(numbers[i]));
      error = std::max(error, std::abs(got[i] - numbers[i]));
    }
    CHECK_THAT(each_scale[b] * 127 / largest, Catch::Matchers::WithinAbs(1, 1e-6));
    CHECK(error <= each_scale[b] / 2 * (1 + 1e-4));  // 127 roundings of 2^-24
    CHECK(error > each_scale[b] / 4);                // or these would not be codes of eight bits
  }
  device->dequantize(kCompute, out, codes, scales, block, true);
  CHECK(download(*device, out) == sum(got, got));
}

TEST_CASE("a block of zeros, or of next to nothing, is coded as zeros", "[trainer]") {
  const auto device = cpu_device();
  const Memory in = upload(*device, Doubles{0, 0, 1e-40, -1e-44, 127, -127});
  const Memory codes = device->allocate(6, Type::int8, MemoryClass::buffers);
  const Memory scales = upload(*device, Doubles{5, 5, 5});
  device->quantize(kCompute, codes, scales, in, 2);
  CHECK(download(*device, codes) == Doubles{0, 0, 0, 0, 127, -127});
  CHECK(download(*device, scales) == Doubles{0, 0, 1});
}

// What take_largest() should take, by sorting.
std::vector<std::size_t> largest_by_sort(const Doubles& numbers, std::int64_t k) {
  std::vector<std::size_t> places(numbers.size());
  std::iota(places.begin(), places.end(), std::size_t{0});
  std::stable_sort(places.begin(), places.end(), [&](std::size_t left, std::size_t right) {
    return std::abs(numbers[left]) > std::abs(numbers[right]);
  });
  places.resize(static_cast<std::size_t>(k));
  std::sort(places.begin(), places.end());
  return places;
}

TEST_CASE("the largest entries are taken as a sort would take them", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t count = 1037;
  const std::int64_t k = GENERATE(0, 1, 10, 104, 1036, 1037);
  Doubles numbers = random_numbers(count, 1);
  if (GENERATE(false, true)) {
    for (double& each : numbers) {  // nine sizes: most are ties
      each = std::round(each * 8) / 8;
    }
  }
  const Memory in = upload(*device, numbers);
  const Memory values = zeros(*device, k);
  const Memory places = device->allocate(k, Type::int32, MemoryClass::buffers);
  device->take_largest(kCompute, values, places, in, k);
  Doubles expected_values;
  Doubles expected_places;
  Doubles left = numbers;
  for (const std::size_t place : largest_by_sort(numbers, k)) {
    expected_places.push_back(static_cast<double>(place));
    expected_values.push_back(numbers[place]);
    left[place] = 0;
  }
  CHECK(download(*device, places) == expected_places);
  CHECK(download(*device, values) == expected_values);
  CHECK(download(*device, in) == left);
  device->scatter_add(kCompute, in, values, places);  // and back: nothing is lost
  CHECK(download(*device, in) == numbers);
}

// Q^T Q and, where columns were independent, the promise that Q spans what the matrix spanned: a
// column of the matrix is the sum of its projections on the columns of Q.
TEST_CASE("columns become orthonormal and span what they spanned", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = 61;
  const std::int64_t columns = GENERATE(1, 4, 7);
  Doubles numbers = random_numbers(rows * columns, 1);
  const bool is_nearly_dependent = columns > 1 && GENERATE(false, true);
  const auto at = [&](std::int64_t r, std::int64_t c) {
    return static_cast<std::size_t>(r * columns + c);
  };
  for (std::int64_t r = 0; is_nearly_dependent && r < rows; ++r) {
    numbers[at(r, 1)] = numbers[at(r, 0)] + std::ldexp(numbers[at(r, 1)], -10);
  }
  const Memory matrix = upload(*device, numbers);
  const Doubles before = download(*device, matrix);  // as fp32 has it
  device->orthogonalize(kCompute, matrix, rows, columns);
  const Doubles q = download(*device, matrix);
  const auto product = [&](const Doubles& a, std::int64_t i, std::int64_t j) {
    double total = 0;
    for (std::int64_t r = 0; r < rows; ++r) {
      total += a[at(r, i)] * q[at(r, j)];
    }
    return total;
  };
  for (std::int64_t i = 0; i < columns; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      CHECK_THAT(product(q, i, j), Catch::Matchers::WithinAbs(i == j ? 1 : 0, 2e-6));
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      double projected = 0;
      for (std::int64_t j = 0; j <= i; ++j) {
        projected += product(before, i, j) * q[at(r, j)];
      }
      CHECK_THAT(projected, Catch::Matchers::WithinAbs(before[at(r, i)], 2e-6));
    }
  }
}

TEST_CASE("a column that is a sum of those before it becomes zero, not noise", "[trainer]") {
  const auto device = cpu_device();
  const Memory matrix = upload(*device, Doubles{1, 2, 3, 0,  //
                                                2, 4, 1, 0,  //
                                                3, 6, 2, 0});
  device->orthogonalize(kCompute, matrix, 3, 4);
  const Doubles q = download(*device, matrix);
  for (const std::size_t row : {std::size_t{0}, std::size_t{4}, std::size_t{8}}) {
    CHECK(q[row + 1] == 0);
    CHECK(q[row + 3] == 0);
  }
  CHECK_THAT(q[0] * q[0] + q[4] * q[4] + q[8] * q[8], Catch::Matchers::WithinAbs(1, 1e-6));
}

}  // namespace
}  // namespace foretrain::testing
