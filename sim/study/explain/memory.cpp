// What a GPU of the fullest stage holds, term by term.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "sim/study/explain/explain.hpp"
#include "strategies/parallel/optimizer.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

double held(const RoleMemory& memory, MemoryClass kind) {
  return memory.peak.held[static_cast<std::size_t>(kind)].value;
}

std::size_t fullest(const std::vector<RoleMemory>& memory) {
  const auto most = std::max_element(
      memory.begin(), memory.end(),
      [](const RoleMemory& a, const RoleMemory& b) { return a.peak.total() < b.peak.total(); });
  return static_cast<std::size_t>(most - memory.begin());
}

/// A class of model states: bytes per parameter, whole or as a share.
struct States {
  std::string quantity;
  MemoryClass kind;
  Bytes each;
  bool is_sharded;
  std::string source;
};

Term term_of(const States& states, const Run& run, const StageShape& shape,
             const RoleMemory& memory) {
  const auto size = static_cast<double>(shape.parameters);
  const auto shards = static_cast<double>(states.is_sharded ? run.shards() : 1);
  return {states.quantity,
          states.is_sharded ? "k P' / D" : "k P'",
          fmt::format("{} x {}{}", states.each.value, plain(size),
                      states.is_sharded ? fmt::format(" / {}", shards) : ""),
          states.each.value * size / shards,
          "B",
          states.source,
          held(memory, states.kind),
          "simulated peak"};
}

// The most micro-batches whose forward is done and whose backward is not.
std::int64_t in_flight(const Run& run, std::int64_t stage) {
  std::int64_t now = 0;
  std::int64_t most = 0;
  const PipelineSchedule& schedule = pipeline_schedule(run.parallel.schedule);
  for (const Slot& slot : schedule.order(run.pipeline_shape(), static_cast<std::int32_t>(stage))) {
    if (slot.kind == SlotKind::forward) {
      ++now;
    } else if (slot.kind != SlotKind::weight_gradient) {
      --now;
    }
    most = std::max(most, now);
  }
  return most;
}

Term activations(const Run& run, const StageShape& shape, const RoleMemory& memory) {
  const std::int64_t passes = in_flight(run, shape.stage);
  const LayerShape& layer = shape.layer(0);
  const bool is_again = run.training.recompute != Recompute::none;
  const Bytes each = is_again ? layer.kept : layer.saved;
  const double layers = static_cast<double>(shape.num_layers()) / static_cast<double>(shape.chunks);
  return {"activations",
          "micro-batches in flight x layers of a chunk x bytes of a layer",
          fmt::format("{} x {} x {}", passes, layers, si(each.value, "B")),
          static_cast<double>(passes) * layers * each.value,
          "B",
          "the schedule's order; Korthikanti et al. 2022, section 4. The peak also has embedding, "
          "head, and what is recomputed at that moment",
          held(memory, MemoryClass::activations),
          "simulated peak"};
}

}  // namespace

Chapter explain_memory(const Run& run, const Simulation& simulation) {
  const std::vector<RoleMemory>& roles = simulation.prediction.memory;
  const std::size_t stage = fullest(roles);
  const RoleMemory& memory = roles[stage];
  const StageShape shape = stage_shape(run, static_cast<std::int64_t>(stage));
  Chapter chapter{fmt::format("Memory of a GPU of {}, P' = {} parameters", memory.role,
                              plain(static_cast<double>(shape.parameters))),
                  {}};
  const std::string zero = "Rajbhandari et al. 2020, section 5: ZeRO stage " +
                           std::to_string(run.parallel.zero) + " over " +
                           std::to_string(run.shards());
  for (const States& states :
       {States{"parameters", MemoryClass::parameters, parameter_bytes(run), run.parallel.zero == 3,
               zero},
        States{"gradients", MemoryClass::gradients, gradient_size(run), shards_gradients(run),
               "gradient_accumulation of stack " + run.stack.name},
        States{"optimizer", MemoryClass::optimizer, optimizer_state_bytes(run, shape), true,
               zero}}) {
    chapter.terms.push_back(term_of(states, run, shape, memory));
  }
  chapter.terms.push_back(activations(run, shape, memory));
  chapter.terms.push_back({"peak",
                           "",
                           "all classes at the fullest moment",
                           memory.peak.total().value,
                           "B",
                           fmt::format("of {}: {}", si(memory.capacity.value, "B"),
                                       memory.fits() ? "fits" : "does not fit"),
                           {},
                           ""});
  return chapter;
}

}  // namespace foretrain
