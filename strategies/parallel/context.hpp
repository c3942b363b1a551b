// Context parallelism: ranks share the tokens of a sequence, so attention needs the others' keys
// and values. How they come is the kind's business (context/kind.hpp). The work is balanced: a rank
// holds a share from the front and one from the back of the causal triangle.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "strategies/parallel/context/kind.hpp"

namespace foretrain {

class ContextParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  ContextParallel(const Run& run, BodyWriter& writer);

  /// Writes an attention core, and what travels around it.
  void write(std::span<const Step> core, Direction direction);

 private:
  const Run& run_;
  BodyWriter& writer_;
  std::vector<StreamIndex> streams_;
};

}  // namespace foretrain
