// The bubble: what stages wait for one another.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "platforms/gpu.hpp"
#include "sim/study/explain/explain.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

Seconds time_of(const std::vector<Step>& steps, const Gpu& gpu) {
  Seconds sum;
  for (const Step& step : steps) {
    if (const auto kernel = kernel_of(step)) {
      sum += kernel_time(*kernel, gpu);
    }
  }
  return sum;
}

// Of the first stage's first chunk; what is recomputed goes with the input gradient.
PassTimes pass_times(const Run& run, const StageShape& shape) {
  PassTimes times;
  for (std::int64_t i = 0; i < shape.layers_in(0); ++i) {
    const std::int64_t number = shape.layer_number(0, i);
    const LayerShape& layer = shape.layer(number);
    times.forward += time_of(layer.work.forward, run.cluster.gpu);
    times.input_gradient += time_of(layer.split.input_gradient, run.cluster.gpu);
    times.weight_gradient += time_of(layer.split.weight_gradient, run.cluster.gpu);
    if (is_recomputed(run, number, i)) {
      times.input_gradient += time_of(layer.recomputed, run.cluster.gpu);
    }
  }
  return times;
}

}  // namespace

Chapter explain_pipeline(const Run& run, const Simulation& simulation) {
  Chapter chapter{"Pipeline bubble", {}};
  if (run.parallel.pipeline == 1) {
    return chapter;
  }
  const PipelineSchedule& schedule = pipeline_schedule(run.parallel.schedule);
  const auto p = static_cast<std::int32_t>(run.parallel.pipeline);
  const auto m = static_cast<std::int32_t>(run.num_micro_batches());
  const double simulated = simulation.prediction.breakdown.bubble.seconds().value;
  const std::string where = fmt::format("simulated, schedule {}", schedule.name);
  if (schedule.bubble == nullptr || m < schedule.bubble->least_micro_batches(p)) {
    chapter.terms.push_back({"wait for other stages",
                             "",
                             "",
                             simulated,
                             "s",
                             "simulated; no closed form is known for this schedule and number of "
                             "micro-batches",
                             {},
                             ""});
    return chapter;
  }
  const PassTimes times = pass_times(run, stage_shape(run, 0));
  chapter.terms.push_back(
      {"wait for other stages", std::string(schedule.bubble->formula),
       fmt::format("p = {}, F = {}, B = {}, W = {} of a chunk", p, si(times.forward.value, "s"),
                   si(times.input_gradient.value, "s"), si(times.weight_gradient.value, "s")),
       schedule.bubble->of(p, times).value, "s",
       fmt::format("{}; kernels of layers alone, stages alike, messages for free",
                   schedule.bubble->source),
       simulated, where});
  const double v = static_cast<double>(run.parallel.virtual_stages);
  const double ideal = m * v * times.all().value / copies(schedule.placement);
  chapter.terms.push_back(
      {"share of the ideal time",
       "bubble / (m v (F + B + W))",
       fmt::format("{} / ({} x {} x {})", si(schedule.bubble->of(p, times).value, "s"), m, v,
                   si(times.all().value, "s")),
       schedule.bubble->of(p, times).value / ideal,
       "",
       "Narayanan et al., SC'21, section 2.2: (p - 1) / (v m) of 1F1B",
       {},
       ""});
  return chapter;
}

}  // namespace foretrain
