// The arithmetic of a step: the rule of thumb, the exact count, what the kernels really do.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "sim/study/explain/explain.hpp"
#include "strategies/lower.hpp"

namespace foretrain {
namespace {

double count(std::int64_t number) { return static_cast<double>(number); }

Flops kernel_flops(const Program& program, const Body& body) {
  Flops sum;
  for (const Stream& stream : body.streams) {
    for (const Op& op : stream.ops) {
      if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
        for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
          sum += flops(kernel);
        }
      }
    }
  }
  return sum;
}

// Of all GPUs in one step.
Flops kernel_flops(const Program& program) {
  std::vector<Flops> of_body;
  of_body.reserve(program.bodies.size());
  for (const Body& body : program.bodies) {
    of_body.push_back(kernel_flops(program, body));
  }
  Flops sum;
  for (const RankBinding& rank : program.ranks) {
    sum += of_body[rank.body.index()];
  }
  return sum;
}

Term rule_of_thumb(const Run& run) {
  const auto size = static_cast<double>(parameters(run.model));
  return {"rule of thumb C",
          "6 P D",
          fmt::format("6 x {} x {}", plain(size), plain(run.tokens_per_step())),
          6 * size * run.tokens_per_step(),
          "FLOP",
          "Kaplan et al. 2020, section 2.1: 2 FLOP per parameter and token forward, 4 backward",
          {},
          ""};
}

Term exact(const Run& run) {
  const std::int64_t length = run.training.sequence_length;
  const Flops core = attention_core_flops(run.model, length);
  const Flops head = head_flops(run.model, length);
  const Flops layers = forward_flops(run.model, length) - core - head;
  return {"model FLOPs",
          "3 B (weights + attention scores + LM head)",
          fmt::format("3 x {} x ({} + {} + {})", run.training.global_batch, si(layers.value, ""),
                      si(core.value, ""), si(head.value, "")),
          model_flops(run).value,
          "FLOP",
          "Narayanan et al., SC'21, appendix: matrix products alone, the whole attention square, "
          "backward twice forward",
          {},
          ""};
}

Term hardware(const Run& run, const Simulation& simulation) {
  const double again = (hardware_flops(run) - model_flops(run)).value;
  return {"hardware FLOPs",
          "model FLOPs + recomputation",
          fmt::format("{} + {}", si(model_flops(run).value, ""), si(again, "")),
          hardware_flops(run).value,
          "FLOP",
          "Korthikanti et al. 2022, section 6.3; causal flash kernels do less, and padding more",
          kernel_flops(simulation.program).value,
          "kernels of all GPUs"};
}

Term shortest(const Run& run, const Simulation& simulation) {
  const double gpus = count(run.num_gpus());
  const Flops work = hardware_flops(run);
  const double half = half_of_peak(run).value / 2;  // at the whole peak
  const Breakdown& parts = simulation.prediction.breakdown;
  return {"time at peak",
          "hardware FLOPs / (GPUs x peak)",
          fmt::format("{} / ({} x {})", si(work.value, "FLOP"), plain(gpus),
                      si(work.value / gpus / half, "FLOP/s")),
          half,
          "s",
          "the GPU file's dense peak at the training precision",
          (parts.compute.seconds() + parts.recompute.seconds()).value,
          "simulated forward, backward, recomputation"};
}

}  // namespace

Chapter explain_work(const Run& run, const Simulation& simulation) {
  Chapter chapter{"Work of a step, all GPUs", {}};
  chapter.terms.push_back({"parameters P",
                           "",
                           "",
                           count(parameters(run.model)),
                           "",
                           run.model.source.empty() ? run.model.name : run.model.source,
                           {},
                           ""});
  chapter.terms.push_back(
      {"tokens D",
       "B s",
       fmt::format("{} x {}", run.training.global_batch, run.training.sequence_length),
       run.tokens_per_step(),
       "",
       "the run file",
       {},
       ""});
  chapter.terms.push_back(rule_of_thumb(run));
  chapter.terms.push_back(exact(run));
  chapter.terms.push_back(hardware(run, simulation));
  chapter.terms.push_back(shortest(run, simulation));
  return chapter;
}

}  // namespace foretrain
