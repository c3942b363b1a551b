// Full recomputation (Chen et al. 2016): a layer keeps its input.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain::recompute {

std::vector<Step> full_again(const Run&, const Work& layer) { return layer.forward; }

Bytes full_kept(const Run& run, const Work& layer) {
  const double ranks =
      run.parallel.sequence_parallel ? static_cast<double>(run.parallel.tensor) : 1.0;
  return Bytes(std::ceil((stream_bytes(run, layer) / ranks).value));
}

Flops full_flops(const Run& run) {
  const std::int64_t length = run.training.sequence_length;
  return forward_flops(run.model, length) - head_flops(run.model, length) -
         embedding_flops(run.model, length);
}

}  // namespace foretrain::recompute
