// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/result.hpp"

#include "sim/study/sweep/values.hpp"

namespace foretrain::sweep {
namespace {

using Json = nlohmann::ordered_json;

double decimal(Picoseconds time) { return time.seconds().value; }

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
    const RoleMemory& stage = fullest_role(prediction.memory);
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
