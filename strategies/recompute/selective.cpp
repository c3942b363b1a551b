// Selective recomputation (Korthikanti et al. 2022, section 5): the attention core, whose tensors
// grow with the square of the sequence and whose FLOPs are few.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "strategies/recompute/recompute.hpp"

namespace foretrain::recompute {

std::vector<Step> selective_again(const Run&, const Work& layer) {
  std::vector<Step> steps;
  for (const Step& step : layer.forward) {
    if (step.is_attention_core) {
      steps.push_back(step);
    }
  }
  return steps;
}

Bytes selective_kept(const Run&, const Work& layer) {
  Bytes kept;
  for (const SavedTensor& tensor : layer.saved) {
    if (!tensor.is_attention_core) {
      kept += tensor.bytes;
    }
  }
  return Bytes(std::ceil(kept.value));
}

Flops selective_flops(const Run& run) {
  return attention_core_flops(run.model, run.training.sequence_length);
}

}  // namespace foretrain::recompute
