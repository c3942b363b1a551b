// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/result.hpp"

#include <algorithm>

#include "sim/study/sweep/values.hpp"

namespace foretrain::sweep {
namespace {

using Json = nlohmann::ordered_json;

double decimal(Picoseconds time) { return time.seconds().value; }

Json breakdown_json(const Breakdown& parts) {
  Json json = {{"compute", decimal(parts.compute)}, {"recompute", decimal(parts.recompute)}};
  for (const auto& [axis, time] : parts.exposed) {
    json["exposed_" + axis] = decimal(time);
  }
  if (parts.compression.count > 0) {
    json["compression"] = decimal(parts.compression);
  }
  json["bubble"] = decimal(parts.bubble);
  json["optimizer"] = decimal(parts.optimizer);
  json["host"] = decimal(parts.host);
  return json;
}

// Of the stage that is nearest to its capacity, or furthest beyond it.
const RoleMemory& fullest(const std::vector<RoleMemory>& memory) {
  return *std::max_element(memory.begin(), memory.end(),
                           [](const RoleMemory& a, const RoleMemory& b) {
                             return a.peak.total() / a.capacity < b.peak.total() / b.capacity;
                           });
}

}  // namespace

std::string result_json(const Prediction& prediction) {
  Json json = {{"gpus", static_cast<std::int64_t>(prediction.num_gpus)},
               {"step_time_s", decimal(prediction.step_time)},
               {"tokens_per_s", prediction.tokens_per_second},
               {"tokens_per_s_per_gpu", prediction.tokens_per_second / prediction.num_gpus},
               {"mfu", prediction.model_flops_utilization},
               {"hfu", prediction.hardware_flops_utilization},
               {"model_tflops_per_gpu", prediction.model_flops_per_gpu.value * 1e-12}};
  if (!prediction.memory.empty()) {
    const RoleMemory& stage = fullest(prediction.memory);
    json["peak_memory_bytes"] = stage.peak.total().value;
    json["memory_capacity_bytes"] = stage.capacity.value;
  }
  json["fits"] = prediction.fits();
  if (prediction.training_time) {
    json["training_time_s"] = prediction.training_time->value;
  }
  json["breakdown_s"] = breakdown_json(prediction.breakdown);
  return dumped(json);
}

}  // namespace foretrain::sweep
