// SPDX-License-Identifier: Apache-2.0
#include "validation/judge.hpp"

#include <algorithm>
#include <exception>

#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "strategies/lower.hpp"

namespace foretrain::validation {
namespace {

using Json = nlohmann::ordered_json;

Run resolve_case(const Case& one, const JudgeOptions& options, config::Sources& sources) {
  config::Value tree = one.run;
  if (tree.position.source == nullptr) {  // made, not read: give its mistakes a place
    tree = config::parse_toml(sources, one.origin, config::to_toml(one.run));
  }
  for (const std::string& set : options.sets) {
    config::apply_set(sources, tree, set);
  }
  const std::string group = group_of(tree);
  for (const GroupOverrides& overrides : options.overrides) {
    for (const std::string& set : overrides.sets) {
      if (overrides.group == group) {
        config::apply_set(sources, tree, set);
      }
    }
  }
  config::Diagnostics diagnostics;
  config::Reader reader(tree, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  return resolve(file, sources, options.catalogue, one.directory);
}

Flops counted_flops(const Run& run, const Measured& measured) {
  switch (measured.flops_count) {
    case FlopsCount::model:
      return model_flops(run);
    case FlopsCount::hardware:
      return hardware_flops(run);
    case FlopsCount::own:
      return run.tokens_per_step() * measured.flops_per_token;
  }
  return {};
}

/// Seconds of a step that the measurement stands for; nothing when none was taken.
std::optional<double> measured_step(const Run& run, const Measured& measured) {
  if (measured.step_time) {
    return measured.step_time->value;
  }
  const auto gpus = static_cast<double>(run.num_gpus());
  if (measured.tokens_per_second_per_gpu) {
    return run.tokens_per_step() / (*measured.tokens_per_second_per_gpu * gpus);
  }
  if (measured.flops_per_gpu) {
    return counted_flops(run, measured).value / (measured.flops_per_gpu->value * gpus);
  }
  return std::nullopt;
}

/// Predicted and naive seconds of one layer and micro-batch: what a second layer adds to a second
/// micro-batch. The optimizer, the head and the host's share of a step cancel.
TimeResult layer_time(const Run& run, double measured) {
  TimeResult time{measured, 0, 0};
  for (const std::int64_t layers : {1, 2}) {
    for (const std::int64_t batches : {1, 2}) {
      Run probe = run;
      probe.model.layers = layers;
      probe.training.global_batch = batches * run.training.micro_batch * run.data_parallel();
      const Prediction prediction = simulate(probe).prediction;
      const double sign = layers == batches ? 1 : -1;
      time.predicted += sign * prediction.step_time.seconds().value;
      time.naive += sign * prediction.naive_step_time.value;
    }
  }
  return time;
}

const RoleMemory& fullest(const std::vector<RoleMemory>& memory) {
  return *std::max_element(
      memory.begin(), memory.end(),
      [](const RoleMemory& a, const RoleMemory& b) { return a.peak.total() < b.peak.total(); });
}

/// What an allocator counts as allocated: neither the libraries' memory nor its own slack.
Bytes tensors(const MemoryPoint& peak) {
  Bytes sum = peak.total();
  for (const MemoryClass outside :
       {MemoryClass::context, MemoryClass::communicators, MemoryClass::slack}) {
    sum -= peak.held.at(static_cast<std::size_t>(outside));
  }
  return sum;
}

void add_memory(const Measured& measured, const Prediction& prediction, Outcome& outcome) {
  if (prediction.memory.empty()) {
    return;
  }
  const RoleMemory& role = fullest(prediction.memory);
  if (measured.peak_memory) {
    const bool is_allocator = measured.memory_kind == MemoryKind::allocator;
    const Bytes predicted = is_allocator ? tensors(role.peak) : role.peak.total();
    outcome.memory = {measured.peak_memory->value, predicted.value, is_allocator};
  }
  if (measured.fits) {
    outcome.fit = {*measured.fits, role.peak.total() / role.capacity};
  }
}

void add_results(const Run& run, Outcome& outcome) {
  const Measured& measured = *run.measured;
  if (measured.layer_time) {
    outcome.is_layer_time = true;
    outcome.time = layer_time(run, measured.layer_time->value);
    return;
  }
  const Prediction prediction = simulate(run).prediction;
  if (const auto step = measured_step(run, measured)) {
    outcome.time = {*step, prediction.step_time.seconds().value, prediction.naive_step_time.value};
  }
  add_memory(measured, prediction, outcome);
}

void add_labels(const Run& run, Outcome& outcome) {
  const Measured& measured = *run.measured;
  outcome.group = measured.group.empty() ? measured.source : measured.group;
  outcome.sweep = measured.sweep;
  outcome.quality = measured.quality;
  outcome.source = measured.source;
  outcome.notes = measured.notes;
  outcome.kind = kind_of(run);
  outcome.gpus = static_cast<double>(run.num_gpus());
  outcome.tokens_per_step = run.tokens_per_step();
}

}  // namespace

std::string kind_of(const Run& run) {
  if (run.training.precision == Dtype::fp8 || run.training.precision == Dtype::fp4) {
    return "GEMMs in 8 or 4 bits";
  }
  if (run.parallel.zero == 3) {
    return "fully sharded";
  }
  const bool is_eager = run.stack.host_per_layer.value.value > 0;
  return is_eager ? "eager or DeepSpeed" : "fused kernels";
}

std::string group_of(const config::Value& tree) {
  for (const config::Entry& section : *tree.table()) {
    if (section.key == "measured" && section.value.table() != nullptr) {
      for (const config::Entry& entry : *section.value.table()) {
        const auto* text = std::get_if<std::string>(&entry.value.data);
        if (entry.key == "group" && text != nullptr) {
          return *text;
        }
      }
    }
  }
  return "";
}

std::vector<GroupOverrides> load_overrides(config::Sources& sources, const std::string& path) {
  const config::Value root = config::parse_toml(sources, path, config::read_file(path));
  config::Diagnostics diagnostics;
  std::vector<GroupOverrides> overrides;
  for (const config::Entry& entry : *root.table()) {
    GroupOverrides group{entry.key, {}};
    const auto* array = std::get_if<config::Array>(&entry.value.data);
    const bool is_list =
        array != nullptr && std::all_of(array->begin(), array->end(), [](const auto& value) {
          return std::holds_alternative<std::string>(value.data);
        });
    if (!is_list) {
      diagnostics.add(entry.value.position, entry.key,
                      "expected a list of assignments, such as [\"override.gpu.sustained=0.9\"]");
      continue;
    }
    for (const config::Value& value : *array) {
      group.sets.push_back(std::get<std::string>(value.data));
    }
    overrides.push_back(std::move(group));
  }
  diagnostics.throw_if_any();
  return overrides;
}

Outcome judge(const Case& one, const JudgeOptions& options) {
  Outcome outcome;
  outcome.id = one.id;
  outcome.group = one.group;
  outcome.refusal = one.refusal;
  if (!one.is_expressible()) {
    return outcome;
  }
  try {
    config::Sources sources;
    const Run run = resolve_case(one, options, sources);
    if (!run.measured) {
      outcome.refusal = "no [measured] table: nothing to compare with";
      return outcome;
    }
    add_labels(run, outcome);
    add_results(run, outcome);
  } catch (const ConfigError& error) {
    const Diagnostic& first = error.diagnostics().front();
    outcome.refusal = (first.key.empty() ? "" : first.key + ": ") + first.message;
  } catch (const std::exception& error) {
    outcome.refusal = std::string("internal error: ") + error.what();
  }
  return outcome;
}

std::string to_json_line(const Outcome& outcome) {
  Json json = {{"id", outcome.id},
               {"group", outcome.group},
               {"sweep", outcome.sweep},
               {"quality", outcome.quality},
               {"source", outcome.source},
               {"notes", outcome.notes},
               {"kind", outcome.kind},
               {"gpus", outcome.gpus},
               {"tokens_per_step", outcome.tokens_per_step},
               {"is_layer_time", outcome.is_layer_time},
               {"refusal", outcome.refusal}};
  if (outcome.time) {
    json["time"] = {outcome.time->measured, outcome.time->predicted, outcome.time->naive};
  }
  if (outcome.memory) {
    json["memory"] = {outcome.memory->measured, outcome.memory->predicted};
    json["is_allocator"] = outcome.memory->is_allocator;
  }
  if (outcome.fit) {
    json["fits"] = outcome.fit->fits;
    json["share"] = outcome.fit->share;
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Outcome outcome_from_json(const std::string& line) {
  const Json json = Json::parse(line);
  Outcome outcome;
  outcome.id = json.at("id");
  outcome.group = json.at("group");
  outcome.sweep = json.at("sweep");
  outcome.quality = json.at("quality");
  outcome.source = json.at("source");
  outcome.notes = json.at("notes");
  outcome.kind = json.at("kind");
  outcome.gpus = json.at("gpus");
  outcome.tokens_per_step = json.at("tokens_per_step");
  outcome.is_layer_time = json.at("is_layer_time");
  outcome.refusal = json.at("refusal");
  if (json.contains("time")) {
    const Json& time = json.at("time");
    outcome.time = {time.at(0), time.at(1), time.at(2)};
  }
  if (json.contains("memory")) {
    const Json& memory = json.at("memory");
    outcome.memory = {memory.at(0), memory.at(1), json.at("is_allocator")};
  }
  if (json.contains("fits")) {
    outcome.fit = {json.at("fits"), json.at("share")};
  }
  return outcome;
}

}  // namespace foretrain::validation
