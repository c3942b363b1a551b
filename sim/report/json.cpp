// Predictions as JSON objects: numbers in SI base units, names with their unit.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/report/prediction.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

// A file name may be any bytes; JSON is UTF-8.
std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

double decimal(Picoseconds time) { return time.seconds().value; }

Json json_of(const RoleMemory& role) {
  Json by_class = Json::object();
  for (std::size_t i = 0; i < role.peak.held.size(); ++i) {
    by_class[name_of(static_cast<MemoryClass>(i))] = role.peak.held[i].value;
  }
  return {{"stage", role.role},
          {"capacity_bytes", role.capacity.value},
          {"peak_bytes", role.peak.total().value},
          {"fits", role.fits()},
          {"by_class", by_class}};
}

Json json_of(const std::vector<RoleMemory>& memory) {
  Json roles = Json::array();
  for (const RoleMemory& role : memory) {
    roles.push_back(json_of(role));
  }
  return roles;
}

Json json_of(const GenerationMemory& memory) {
  Json roles = Json::array();
  for (const RoleGeneration& role : memory.roles) {
    const auto most = role.most_sequences();
    roles.push_back({{"stage", role.role},
                     {"weights_bytes", role.weights.value},
                     {"context_bytes", role.overhead.value},
                     {"kv_cache_bytes", role.cache.value},
                     {"kv_bytes_per_token", role.cache_per_token.value},
                     {"total_bytes", role.total().value},
                     {"capacity_bytes", role.capacity.value},
                     {"most_sequences", most ? Json(*most) : Json(nullptr)},
                     {"fits", role.fits()}});
  }
  return {{"batch", memory.batch},
          {"context_length", memory.context_length},
          {"held_tokens", memory.held_tokens},
          {"kv_dtype", memory.kv_dtype},
          {"weight_dtype", memory.weight_dtype},
          {"kv_bytes_per_token", memory.cache_per_token.value},
          {"most_sequences", memory.most_sequences()},
          {"fits", memory.fits()},
          {"stages", roles}};
}

// What a prediction says of memory beyond its table.
void add_memory(const Prediction& prediction, Json& json) {
  if (!prediction.fitting.empty()) {
    json["would_fit"] = prediction.fitting;
  }
  if (prediction.host) {
    json["host_memory"] = {{"used_bytes", prediction.host->used.value},
                           {"capacity_bytes", prediction.host->capacity.value},
                           {"fits", prediction.host->fits()}};
  }
  if (prediction.generation) {
    json["generation"] = json_of(*prediction.generation);
  }
}

Json json_of(const SimulationFacts& facts) {
  return {{"ranks", facts.ranks},       {"simulated_ranks", facts.simulated_ranks},
          {"events", facts.events},     {"activities", facts.activities},
          {"wall_s", facts.wall.value}, {"fidelity", facts.fidelity},
          {"lumping", facts.lumping},   {"lumping_reasons", facts.lumping_reasons}};
}

Json json_of(const VariationFacts& facts) {
  Json json = {{"kernel_jitter", facts.kernel_jitter},
               {"seed", facts.seed},
               {"gpus", Json::array()},
               {"links", Json::array()}};
  for (const auto& [name, speed] : facts.gpus) {
    json["gpus"].push_back({{"gpu", name}, {"speed", speed}});
  }
  for (const auto& [name, capacity] : facts.links) {
    json["links"].push_back({{"link", name}, {"capacity", capacity}});
  }
  return json;
}

Json json_of(const Provenance& provenance) {
  Json inputs = Json::array();
  for (const auto& [name, text] : provenance.inputs) {
    inputs.push_back({{"name", name}, {"text", text}});
  }
  return {{"version", provenance.version},
          {"seed", provenance.seed},
          {"config_hash", provenance.config_hash},
          {"config", inputs}};
}

}  // namespace

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

std::string to_json(const Prediction& prediction) {
  Json json = {
      {"title", prediction.title},
      {"layout", prediction.layout},
      {"step_time_s", decimal(prediction.step_time)},
      {"tokens_per_s", prediction.tokens_per_second},
      {"tokens_per_s_per_gpu", prediction.tokens_per_second / prediction.num_gpus},
      {"mfu", prediction.model_flops_utilization},
      {"hfu", prediction.hardware_flops_utilization},
      {"model_tflops_per_gpu", prediction.model_flops_per_gpu.value * 1e-12},
      {"hardware_tflops_per_gpu", prediction.hardware_flops_per_gpu.value * 1e-12},
      {"naive_step_time_s", prediction.naive_step_time.value},
      {"breakdown_s", breakdown_json(prediction.breakdown)},
  };
  if (prediction.interval) {
    const Interval& interval = *prediction.interval;
    json["step_time_interval"] = {{"low_s", interval.low.value}, {"high_s", interval.high.value},
                                  {"kind", interval.kind},       {"within", interval.within},
                                  {"cases", interval.cases},     {"sources", interval.sources}};
  }
  if (prediction.training_time) {
    json["training_time_s"] = prediction.training_time->value;
  }
  json["breakdown_by_stage_s"] = Json::object();
  for (const auto& [role, parts] : prediction.by_role) {
    json["breakdown_by_stage_s"][role] = breakdown_json(parts);
  }
  json["memory"] = json_of(prediction.memory);
  add_memory(prediction, json);
  json["comparisons"] = Json::array();
  for (const Comparison& comparison : prediction.comparisons) {
    json["comparisons"].push_back({{"quantity", comparison.quantity},
                                   {"unit", comparison.unit},
                                   {"measured", comparison.measured},
                                   {"predicted", comparison.predicted},
                                   {"half_of_peak", comparison.naive},
                                   {"source", comparison.source}});
  }
  json["notes"] = prediction.notes;
  if (prediction.variation) {
    json["variation"] = json_of(*prediction.variation);
  }
  json["simulation"] = json_of(prediction.simulation);
  json["provenance"] = json_of(prediction.provenance);
  return text_of(json);
}

std::string memory_json(const Prediction& prediction) {
  Json json = {{"title", prediction.title},
               {"layout", prediction.layout},
               {"fits", prediction.fits()},
               {"memory", json_of(prediction.memory)}};
  add_memory(prediction, json);
  json["provenance"] = json_of(prediction.provenance);
  return text_of(json);
}

}  // namespace foretrain
