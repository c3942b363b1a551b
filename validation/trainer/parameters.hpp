// The parameters of a GPT as one rank holds them, and how they begin. A unit (the embedding, a
// layer, the head) is one run of memory, in which its tensors follow one another.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "validation/trainer/plan.hpp"

namespace foretrain::trainer {

/// A tensor of a unit: rows x columns, which a rank's part of a tensor-parallel matrix is cut from.
/// Its rows are `blocks` equal runs of rows, each cut from its own block of the whole (queries,
/// keys and values of a rank's heads).
struct Parameter {
  std::string name;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::int64_t blocks = 1;
  std::int64_t first_row = 0;     ///< in the block of the whole
  std::int64_t first_column = 0;  ///< in the whole
  std::int64_t whole_rows = 1;
  std::int64_t whole_columns = 1;
  float deviation = 0;     ///< drawn from a normal distribution
  float constant = 0;      ///< where the deviation is 0
  bool is_shared = false;  ///< all ranks of a tensor-parallel group hold the same
  std::int64_t first = 0;  ///< within the unit

  [[nodiscard]] std::int64_t count() const { return rows * columns; }
};

struct Unit {
  std::string name;
  std::vector<Parameter> parameters;
  std::int64_t count = 0;
};

// Places of the tensors in their units.
namespace embedding_part {
enum : std::size_t { table, positions };
}
namespace layer_part {
enum : std::size_t {
  norm1,
  norm1_bias,
  qkv,
  qkv_bias,
  projection,
  projection_bias,
  norm2,
  norm2_bias,
  up,
  up_bias,
  down,
  down_bias
};
}
namespace head_part {
enum : std::size_t { norm, norm_bias, table };
}

[[nodiscard]] Unit embedding_unit(const Plan& plan, const Place& place);
[[nodiscard]] Unit layer_unit(const Plan& plan, const Place& place, std::int64_t layer);
[[nodiscard]] Unit head_unit(const Plan& plan, const Place& place);

/// The rank's part of the initial values, a function of seed, name and place in the whole alone:
/// all layouts begin with the same model. GPT-2's: normal with deviation 0.02, of the projections
/// that end a branch 0.02 / sqrt(2 layers); norms 1, biases 0.
[[nodiscard]] std::vector<float> initial_values(const Unit& unit, std::uint64_t seed);

}  // namespace foretrain::trainer
