// Predictions as comma-separated values: one heading row with units in the names, then the numbers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "sim/report/prediction.hpp"

namespace foretrain {

std::string to_csv(const Prediction& prediction) {
  std::string heading =
      "step_time_s,tokens_per_s,mfu,hfu,compute_s,recompute_s,optimizer_s,host_s,bubble_s";
  const Breakdown& parts = prediction.breakdown;
  const auto seconds = [](Picoseconds time) { return time.seconds().value; };
  std::string values = fmt::format("{},{},{},{},{},{},{},{},{}", seconds(prediction.step_time),
                                   prediction.tokens_per_second, prediction.model_flops_utilization,
                                   prediction.hardware_flops_utilization, seconds(parts.compute),
                                   seconds(parts.recompute), seconds(parts.optimizer),
                                   seconds(parts.host), seconds(parts.bubble));
  if (parts.compression.count > 0) {
    heading += ",compression_s";
    values += fmt::format(",{}", seconds(parts.compression));
  }
  for (const auto& [axis, time] : parts.exposed) {
    heading += ",exposed_" + axis + "_s";
    values += fmt::format(",{}", seconds(time));
  }
  for (const RoleMemory& role : prediction.memory) {
    std::string name = role.role;
    std::replace(name.begin(), name.end(), ' ', '_');
    heading += "," + name + "_peak_bytes";
    values += fmt::format(",{:.0f}", role.peak.total().value);
  }
  return heading + "\n" + values + "\n";
}

std::string memory_csv(const Prediction& prediction) {
  std::string text = "role";
  for (int i = 0; i < kNumMemoryClasses; ++i) {
    text += fmt::format(",{}_bytes", name_of(static_cast<MemoryClass>(i)));
  }
  text += ",peak_bytes,capacity_bytes,fits\n";
  for (const RoleMemory& role : prediction.memory) {
    text += role.role;
    for (const Bytes bytes : role.peak.held) {
      text += fmt::format(",{:.0f}", bytes.value);
    }
    text += fmt::format(",{:.0f},{:.0f},{}\n", role.peak.total().value, role.capacity.value,
                        role.fits() ? 1 : 0);
  }
  if (prediction.generation) {
    text += "\n" + to_csv(*prediction.generation);
  }
  return text;
}

}  // namespace foretrain
