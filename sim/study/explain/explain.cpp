// SPDX-License-Identifier: Apache-2.0
#include "sim/study/explain/explain.hpp"

namespace foretrain {

Explanation explain(const Run& run, const Simulation& simulation) {
  Explanation explanation{simulation.prediction.title, simulation.prediction.layout, {}};
  explanation.chapters.push_back(explain_work(run, simulation));
  for (Chapter& chapter : explain_layers(run)) {
    explanation.chapters.push_back(std::move(chapter));
  }
  explanation.chapters.push_back(explain_memory(run, simulation));
  explanation.chapters.push_back(explain_communication(run, simulation));
  explanation.chapters.push_back(explain_pipeline(run, simulation));
  return explanation;
}

}  // namespace foretrain
