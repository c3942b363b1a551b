// Initial parameters: every layout begins with the same model.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/small_training.hpp"
#include "validation/trainer/data_parallel.hpp"

namespace foretrain::trainer {
namespace {

using testing::small_plan;

std::vector<float> values_of(const Unit& unit, std::size_t part) {
  const std::vector<float> all = initial_values(unit, 5);
  const Parameter& parameter = unit.parameters[part];
  return {all.begin() + parameter.first, all.begin() + parameter.first + parameter.count()};
}

TEST_CASE("a rank's rows and columns are cut from the whole matrix", "[trainer]") {
  const Plan one = small_plan(1, {});
  const Plan two = small_plan(2, {"parallel.tensor=2"});
  const Unit whole = layer_unit(one, {}, 2);
  for (int rank = 0; rank < 2; ++rank) {
    const Unit part = layer_unit(two, {rank, 0, 0}, 2);
    // Down: columns of [32, 128].
    const auto all_down = values_of(whole, layer_part::down);
    const auto own_down = values_of(part, layer_part::down);
    REQUIRE(own_down.size() == 32 * 64);
    for (std::size_t row = 0; row < 32; ++row) {
      for (std::size_t column = 0; column < 64; ++column) {
        REQUIRE(own_down[row * 64 + column] ==
                all_down[row * 128 + static_cast<std::size_t>(rank) * 64 + column]);
      }
    }
    // Queries, keys and values: rows rank * 16 .. of each block of 32.
    const auto all_qkv = values_of(whole, layer_part::qkv);
    const auto own_qkv = values_of(part, layer_part::qkv);
    REQUIRE(own_qkv.size() == 48 * 32);
    for (std::size_t row = 0; row < 48; ++row) {
      const std::size_t from = row / 16 * 32 + static_cast<std::size_t>(rank) * 16 + row % 16;
      for (std::size_t column = 0; column < 32; ++column) {
        REQUIRE(own_qkv[row * 32 + column] == all_qkv[from * 32 + column]);
      }
    }
    CHECK(values_of(part, layer_part::norm1) == values_of(whole, layer_part::norm1));
  }
}

TEST_CASE("initial matrices have the stated deviation and no mean", "[trainer]") {
  const Plan plan = small_plan(1, {});
  const std::vector<float> values = values_of(layer_unit(plan, {}, 0), layer_part::up);
  double sum = 0;
  double squares = 0;
  for (const float value : values) {
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  const auto count = static_cast<double>(values.size());
  // Of 4,096 draws: four standard errors of the mean, and of the deviation.
  CHECK(std::abs(sum / count) < 4 * 0.02 / std::sqrt(count));
  CHECK(std::abs(std::sqrt(squares / count) - 0.02) < 4 * 0.02 / std::sqrt(2 * count));
  CHECK(values_of(layer_unit(plan, {}, 0), layer_part::up) !=
        values_of(layer_unit(plan, {}, 1), layer_part::up));
}

TEST_CASE("ranks hold as many parameters as the model has", "[trainer]") {
  const Plan plan = small_plan(1, {});
  std::int64_t count = embedding_unit(plan, {}).count + head_unit(plan, {}).count;
  for (std::int64_t layer = 0; layer < plan.model.layers; ++layer) {
    count += layer_unit(plan, {}, layer).count;
  }
  CHECK(count == parameters(plan.model));
}

TEST_CASE("buckets take units from the last to the first until they are full", "[trainer]") {
  const std::vector<Unit> units = {
      {"embedding", {}, 1000}, {"layer0", {}, 100}, {"layer1", {}, 100}, {"head", {}, 300}};
  const auto buckets = buckets_of(units, 1600, 2);  // 400 numbers
  REQUIRE(buckets.size() == 2);
  CHECK(buckets[0].units == std::vector<std::size_t>{3, 2});
  CHECK(buckets[0].first == 0);
  CHECK(buckets[0].count == 416);  // the next multiple of 2 x 16
  CHECK(buckets[1].units == std::vector<std::size_t>{1, 0});
  CHECK(buckets[1].first == 416);
  CHECK(buckets[1].count == 1120);
  CHECK(buckets_of(units, 0, 1).size() == 4);
}

}  // namespace
}  // namespace foretrain::trainer
