// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/parameters.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

#include "sim/core/hash.hpp"
#include "sim/core/random.hpp"

namespace foretrain::trainer {
namespace {

// Radford et al. 2019, section 2.3, and the code that was published with it.
constexpr float kDeviation = 0.02F;
constexpr float kPositionDeviation = 0.01F;

void add(Unit& unit, Parameter parameter) {
  parameter.first = unit.count;
  unit.count += parameter.count();
  parameter.name = unit.name + "." + parameter.name;
  unit.parameters.push_back(std::move(parameter));
}

// The same on all ranks of a tensor-parallel group.
Parameter vector(const std::string& name, std::int64_t count, float constant) {
  Parameter parameter;
  parameter.name = name;
  parameter.columns = count;
  parameter.whole_columns = count;
  parameter.constant = constant;
  parameter.is_shared = true;
  return parameter;
}

// Rank `rank` of `ranks` holds its run of rows of each block.
Parameter split_rows(const std::string& name, std::int64_t whole_rows, std::int64_t columns,
                     std::int64_t blocks, int rank, int ranks, float deviation) {
  Parameter parameter;
  parameter.name = name;
  parameter.rows = whole_rows / ranks;
  parameter.columns = columns;
  parameter.blocks = blocks;
  parameter.first_row = rank * (whole_rows / blocks / ranks);
  parameter.whole_rows = whole_rows;
  parameter.whole_columns = columns;
  parameter.deviation = deviation;
  return parameter;
}

Parameter split_columns(const std::string& name, std::int64_t rows, std::int64_t whole_columns,
                        int rank, int ranks, float deviation) {
  Parameter parameter;
  parameter.name = name;
  parameter.rows = rows;
  parameter.columns = whole_columns / ranks;
  parameter.first_column = rank * parameter.columns;
  parameter.whole_rows = rows;
  parameter.whole_columns = whole_columns;
  parameter.deviation = deviation;
  return parameter;
}

// Rows first .. last - 1, to where the first row goes.
void fill_rows(const Parameter& parameter, std::uint64_t key, std::int64_t first, std::int64_t last,
               float* values) {
  const std::int64_t block_rows = parameter.rows / parameter.blocks;
  for (std::int64_t row = first; row < last; ++row) {
    const std::int64_t whole_row = row / block_rows * (parameter.whole_rows / parameter.blocks) +
                                   parameter.first_row + row % block_rows;
    for (std::int64_t column = 0; column < parameter.columns; ++column) {
      const std::int64_t place =
          whole_row * parameter.whole_columns + parameter.first_column + column;
      *values++ =
          parameter.deviation > 0
              ? parameter.deviation *
                    static_cast<float>(normal_number({key, static_cast<std::uint64_t>(place)}))
              : parameter.constant;
    }
  }
}

// A number is a function of its place, so all cores may draw: billions take one core minutes.
void fill(const Parameter& parameter, std::uint64_t seed, float* values) {
  constexpr std::int64_t kWorthAThread = 1 << 18;  // numbers: some 10 ms
  const std::uint64_t key = random_word({seed, fnv1a_64(parameter.name)});
  const std::int64_t cores = std::max<std::int64_t>(std::thread::hardware_concurrency(), 1);
  const std::int64_t threads =
      std::clamp<std::int64_t>(parameter.count() / kWorthAThread, 1, cores);
  const auto row_of = [&](std::int64_t thread) { return thread * parameter.rows / threads; };
  std::vector<std::jthread> others;
  others.reserve(static_cast<std::size_t>(threads));
  for (std::int64_t thread = 1; thread < threads; ++thread) {
    others.emplace_back([&, thread] {
      fill_rows(parameter, key, row_of(thread), row_of(thread + 1),
                values + row_of(thread) * parameter.columns);
    });
  }
  fill_rows(parameter, key, 0, row_of(1), values);
}

}  // namespace

Unit embedding_unit(const Plan& plan, const Place& place) {
  Unit unit{"embedding", {}, 0};
  add(unit, split_rows("table", plan.model.vocabulary, plan.model.hidden, 1, place.tensor,
                       plan.tensor(), kDeviation));
  Parameter positions = vector("positions", plan.model.max_positions * plan.model.hidden, 0);
  positions.deviation = kPositionDeviation;
  add(unit, std::move(positions));
  return unit;
}

Unit layer_unit(const Plan& plan, const Place& place, std::int64_t layer) {
  const std::int64_t hidden = plan.model.hidden;
  const std::int64_t ffn = plan.model.ffn;
  const int rank = place.tensor;
  const int ranks = plan.tensor();
  const float last = kDeviation / std::sqrt(2 * static_cast<float>(plan.model.layers));
  Unit unit{"layer" + std::to_string(layer), {}, 0};
  add(unit, vector("norm1", hidden, 1));
  add(unit, vector("norm1_bias", hidden, 0));
  add(unit, split_rows("qkv", 3 * hidden, hidden, 3, rank, ranks, kDeviation));
  add(unit, split_rows("qkv_bias", 3 * hidden, 1, 3, rank, ranks, 0));
  add(unit, split_columns("projection", hidden, hidden, rank, ranks, last));
  add(unit, vector("projection_bias", hidden, 0));
  add(unit, vector("norm2", hidden, 1));
  add(unit, vector("norm2_bias", hidden, 0));
  add(unit, split_rows("up", ffn, hidden, 1, rank, ranks, kDeviation));
  add(unit, split_rows("up_bias", ffn, 1, 1, rank, ranks, 0));
  add(unit, split_columns("down", hidden, ffn, rank, ranks, last));
  add(unit, vector("down_bias", hidden, 0));
  return unit;
}

Unit head_unit(const Plan& plan, const Place& place) {
  Unit unit{"head", {}, 0};
  add(unit, vector("norm", plan.model.hidden, 1));
  add(unit, vector("norm_bias", plan.model.hidden, 0));
  add(unit, split_rows("table", plan.model.vocabulary, plan.model.hidden, 1, place.tensor,
                       plan.tensor(), kDeviation));
  return unit;
}

std::vector<float> initial_values(const Unit& unit, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(unit.count));
  for (const Parameter& parameter : unit.parameters) {
    fill(parameter, seed, values.data() + parameter.first);
  }
  return values;
}

}  // namespace foretrain::trainer
