// Per-operator recomputation, as torchtitan's: every other product's output is kept, and what flash
// attention needs; the rest runs again.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain::recompute {

std::vector<Step> operators_again(const Run&, const Work& layer) {
  std::vector<Step> steps;
  bool is_kept = false;  // of the next product
  for (const Step& step : layer.forward) {
    const auto* gemm = std::get_if<Gemm>(&step.what);
    if (gemm != nullptr && !step.is_attention_core) {
      is_kept = !is_kept;
    }
    if ((gemm != nullptr && !is_kept) || std::holds_alternative<MemoryBound>(step.what)) {
      steps.push_back(step);
    }
  }
  return steps;
}

Bytes operators_kept(const Run&, const Work& layer) {
  return Bytes(std::ceil((0.5 * saved_bytes(layer)).value));
}

Flops operators_flops(const Run& run) {
  Run one = run;  // sequence on one rank
  one.training.micro_batch = 1;
  one.parallel = {};
  const StageShape shape = stage_shape(one, 0);
  Flops again;
  for (std::int64_t layer = 0; layer < run.model.layers; ++layer) {
    for (const Step& step : shape.layer(layer).recomputed) {
      if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
        again += flops(Kernel{NameId(0), *gemm});
      }
    }
  }
  return again;
}

}  // namespace foretrain::recompute
