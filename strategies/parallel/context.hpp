// Context parallelism: ranks share the tokens of a sequence, so attention fetches the others' keys
// and values. They are gathered before the attention core (Llama Team 2024, section 3.3.2), or,
// with a stack that overlaps, travel while it runs, as a ring does (Liu et al. 2023). The work is
// balanced: a rank holds a share from the front and one from the back of the causal triangle.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/stage.hpp"

namespace foretrain {

enum class Direction : std::uint8_t { forward, backward };

class ContextParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  ContextParallel(const Run& run, BodyWriter& writer);

  void before_core(Direction direction);
  void after_core(Direction direction);

 private:
  void collective(CollectiveKind kind, std::string_view name);

  const Run& run_;
  BodyWriter& writer_;
  StreamIndex stream_ = kCompute;
  Bytes keys_and_values_;  // of all ranks, 16-bit
};

}  // namespace foretrain
