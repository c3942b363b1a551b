// Checks across the fields of a model, the same for our files and for Hugging Face's; only the
// names of the keys in the messages differ.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "models/model.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

/// What a file calls the fields that checks have to name.
struct ShapeKeys {
  std::string_view hidden;
  std::string_view heads;
  std::string_view kv_heads;
  std::string_view head_dim;  ///< empty where a file cannot give it
  std::string_view layers;
};

/// Upper limits that keep every later product of two sizes, and a layer's kernels, within int64.
inline constexpr config::Range kLayers{1, 100'000};
inline constexpr config::Range kHidden{1, 1'000'000};
inline constexpr config::Range kHeads{1, 100'000};
inline constexpr config::Range kHeadDim{1, 100'000};
inline constexpr config::Range kFfn{1, 10'000'000};
inline constexpr config::Range kVocabulary{1, 100'000'000};
inline constexpr config::Range kPositions{1, 1'000'000'000};
inline constexpr config::Range kExperts{1, 100'000};

/// A thousand times the largest models of 2025, and far below the 9.2e18 of int64.
inline constexpr std::int64_t kMostParameters = 10'000'000'000'000'000;

/// hidden / heads when it is a whole number; reports otherwise and returns 1.
/// REQUIRES: both are positive.
[[nodiscard]] std::int64_t head_dim_of(config::Reader& reader, const Model& model,
                                       const ShapeKeys& keys);

/// Reports kv_heads that do not divide heads, and more parameters than can be counted.
void check_shape(config::Reader& reader, const Model& model, const ShapeKeys& keys);

/// "8,030,261,248"
[[nodiscard]] std::string with_commas(std::int64_t number);

}  // namespace foretrain
