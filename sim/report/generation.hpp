// Memory of generating text: what a GPU of each role holds, and how many sequences fit.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain {

struct RoleGeneration {
  std::string role;  ///< "stage 0"
  Bytes weights;
  Bytes overhead;           ///< CUDA context, libraries, communicators
  Bytes cache_per_token;    ///< keys and values on this GPU
  Bytes cache;              ///< of the whole batch
  Bytes cache_of_sequence;  ///< of one
  Bytes capacity;

  [[nodiscard]] Bytes total() const { return weights + overhead + cache; }
  [[nodiscard]] bool fits() const { return total() <= capacity; }
  /// Sequences for which there is room; nothing when there is no limit (a stage without layers).
  [[nodiscard]] std::optional<std::int64_t> most_sequences() const;
};

struct GenerationMemory {
  std::int64_t batch = 1;
  std::int64_t context_length = 0;
  std::int64_t held_tokens = 0;  ///< of each sequence
  std::string kv_dtype;
  std::string weight_dtype;
  Bytes cache_per_token;  ///< in the whole model
  std::vector<RoleGeneration> roles;

  [[nodiscard]] bool fits() const;
  [[nodiscard]] std::int64_t most_sequences() const;  ///< for which every role has room
};

[[nodiscard]] std::string to_text(const GenerationMemory& memory);
[[nodiscard]] std::string to_csv(const GenerationMemory& memory);

}  // namespace foretrain
