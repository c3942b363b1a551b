// The bubble: what stages wait for one another.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "sim/study/explain/explain.hpp"

namespace foretrain {

Chapter explain_pipeline(const Run& run, const Simulation& simulation) {
  Chapter chapter{"Pipeline bubble", {}};
  if (run.parallel.pipeline == 1) {
    return chapter;
  }
  const auto p = static_cast<double>(run.parallel.pipeline);
  const double v = num_places(run.placement(), run.pipeline_shape()) / p;
  const auto m = static_cast<double>(run.num_micro_batches());
  const Breakdown& parts = simulation.prediction.breakdown;
  const double ideal = (parts.compute.seconds() + parts.recompute.seconds()).value;
  chapter.terms.push_back({"share of the ideal time, one forward one backward", "(p - 1) / (v m)",
                           fmt::format("({} - 1) / ({} x {})", p, v, m), (p - 1) / (v * m), "",
                           "Narayanan et al., SC'21, section 2.2: stages alike, messages for free",
                           parts.bubble.seconds().value / ideal,
                           fmt::format("simulated, schedule {}", run.parallel.schedule)});
  return chapter;
}

}  // namespace foretrain
