// What failures add to a planned training.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/goodput.hpp"
#include "sim/study/plan/plan.hpp"

namespace foretrain {

WithFailures with_failures(const Run& run, const PlanRow& row, const PlanOptions& options,
                           goodput::Reliability reliability) {
  constexpr goodput::MonteCarlo kRuns = {50, 1};
  reliability.duration.reset();  // the tokens end it
  reliability.shrink = 0;
  const std::int64_t per_node = run.cluster.gpus_per_node;
  goodput::Size size;
  size.gpus = row.point.gpus;
  size.nodes = (size.gpus + per_node - 1) / per_node;
  size.nics_per_node = run.cluster.nics_per_node;
  size.step_time = row.point.step_time;
  size.tokens_per_step = run.tokens_per_step();
  size.checkpoint = reliability.checkpoint.size.value_or(goodput::checkpoint_size(run).total());
  const goodput::Outcome outcome = goodput::goodput(reliability, size, options.tokens, kRuns);
  WithFailures with;
  with.rates = reliability.rates;
  with.effective = outcome.effective.mean;
  with.time = outcome.to_finish.value_or(row.time / with.effective);
  with.dollars = bill_of(options.economics, size.gpus, with.time, 0).dollars;
  return with;
}

}  // namespace foretrain
