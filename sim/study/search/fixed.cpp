// Which values a search may give to a key: those that the user left.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "sim/config/reader.hpp"
#include "sim/study/search/space.hpp"
#include "strategies/recompute/recompute.hpp"

namespace foretrain {
namespace {

using config::Choice;
using config::Reader;

constexpr std::array<std::string_view, 7> kParallelNumbers = {
    "tensor", "pipeline", "context", "expert", "data", "virtual_stages", "zero"};

std::vector<Choice<std::string>> schedule_names() {
  std::vector<Choice<std::string>> names;
  names.reserve(pipeline_schedules().size());
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    names.push_back({schedule.name, std::string(schedule.name)});
  }
  return names;
}

std::vector<Choice<Recompute>> recompute_names() {
  std::vector<Choice<Recompute>> names;
  names.reserve(recompute_policies().size());
  for (const RecomputePolicy& policy : recompute_policies()) {
    names.push_back({policy.name, policy.value});
  }
  return names;
}

const config::Value* find(const config::Value& in, std::string_view key) {
  for (const config::Entry& entry : *in.table()) {
    if (entry.key == key) {
      return &entry.value;
    }
  }
  return nullptr;
}

/// What was assigned to the keys of one table.
class Assigned {
 public:
  Assigned(const config::Value& root, Reader reader)
      : table_(find(root, reader.path())), reader_(std::move(reader)) {}

  [[nodiscard]] bool is_list(std::string_view key) const {
    const config::Value* value = find(*table_, key);
    return value != nullptr && std::holds_alternative<config::Array>(value->data);
  }
  [[nodiscard]] Reader& reader() { return reader_; }

 private:
  const config::Value* table_;
  Reader reader_;
};

void read_numbers(Assigned& table, std::string_view key, FixedChoices& fixed) {
  Reader& reader = table.reader();
  if (!reader.has(key)) {
    return;
  }
  constexpr config::Range kRange{0, 10'000'000};
  fixed.numbers[reader.path() + "." + std::string(key)] =
      table.is_list(key) ? reader.counts(key, kRange)
                         : std::vector<std::int64_t>{reader.count(key, kRange)};
}

template <class T>
void read_words(Assigned& table, std::string_view key, const std::vector<Choice<T>>& choices,
                std::optional<std::vector<T>>& into) {
  Reader& reader = table.reader();
  if (reader.has(key)) {
    into = table.is_list(key) ? reader.choices<T>(key, choices)
                              : std::vector<T>{reader.choice<T>(key, choices)};
  }
}

void read_offloads(Reader reader, FixedChoices& fixed) {
  const auto optimizer = reader.maybe<bool>("optimizer");
  const auto parameters = reader.maybe<bool>("parameters");
  std::vector<OffloadChoice> left;
  for (const OffloadChoice choice :
       {OffloadChoice::none, OffloadChoice::optimizer, OffloadChoice::optimizer_and_parameters}) {
    const bool has_optimizer = choice != OffloadChoice::none;
    const bool has_parameters = choice == OffloadChoice::optimizer_and_parameters;
    if (optimizer.value_or(has_optimizer) == has_optimizer &&
        parameters.value_or(has_parameters) == has_parameters) {
      left.push_back(choice);
    }
  }
  fixed.offloads = left;
  reader.finish();
}

}  // namespace

bool FixedChoices::allows(std::string_view key, std::int64_t value) const {
  const auto found = numbers.find(key);
  return found == numbers.end() ||
         std::find(found->second.begin(), found->second.end(), value) != found->second.end();
}

FixedChoices read_fixed(config::Sources& sources, const std::vector<std::string>& assignments) {
  FixedChoices fixed;
  fixed.assignments = assignments;
  config::Value root;
  root.data = config::Table{};
  for (const std::string& assignment : assignments) {
    config::apply_set(sources, root, assignment);
  }
  config::Diagnostics diagnostics;
  Reader reader(root, "", diagnostics);
  if (auto child = reader.maybe_child("parallel")) {
    Assigned parallel(root, std::move(*child));
    for (const std::string_view key : kParallelNumbers) {
      read_numbers(parallel, key, fixed);
    }
    read_words(parallel, "schedule", schedule_names(), fixed.schedules);
    parallel.reader().finish();
  }
  if (auto child = reader.maybe_child("training")) {
    Assigned training(root, std::move(*child));
    read_numbers(training, "micro_batch", fixed);
    read_words(training, "recompute", recompute_names(), fixed.recomputes);
    training.reader().finish();
  }
  if (auto offload = reader.maybe_child("offload")) {
    read_offloads(std::move(*offload), fixed);
  }
  reader.finish();
  diagnostics.throw_if_any();
  return fixed;
}

}  // namespace foretrain
