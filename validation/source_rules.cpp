// SPDX-License-Identifier: Apache-2.0
#include "validation/source_rules.hpp"

#include <array>
#include <string_view>

#include "sim/config/reader.hpp"
#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

using config::Array;
using config::Entry;
using config::Value;

// The values of `set` may be of any kind, which the Reader does not serve: this walks the tree.
class RuleReader {
 public:
  explicit RuleReader(config::Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  SourceRule rule(const Value& value) {
    SourceRule rule;
    if (value.table() == nullptr) {
      diagnostics_.add(value.position, "rule", "expected a table");
      return rule;
    }
    for (const Entry& entry : *value.table()) {
      field(entry, rule);
    }
    return rule;
  }

  std::vector<std::string> texts(const Entry& entry) {
    std::vector<std::string> found;
    if (const auto* array = std::get_if<Array>(&entry.value.data)) {
      for (const Value& element : *array) {
        found.push_back(text({entry.key, entry.key_position, element}));
      }
    } else {
      diagnostics_.add(entry.value.position, entry.key, "expected an array of names");
    }
    return found;
  }

 private:
  void field(const Entry& entry, SourceRule& rule) {
    if (entry.key == "when" || entry.key == "unless") {
      words(entry, entry.key == "when" ? rule.when : rule.unless);
    } else if (entry.key == "set") {
      assignments(entry, "", rule.set);
    } else if (entry.key == "drop") {
      rule.drop = texts(entry);
    } else if (entry.key == "group") {
      rule.group = text(entry);
    } else if (entry.key == "sweep") {
      rule.sweep = texts(entry);
    } else if (entry.key == "refuse") {
      rule.refuse = text(entry);
    } else if (entry.key == "peak_tflops") {
      rule.peak_tflops = number(entry);
    } else if (entry.key == "layer_time") {
      rule.layer_time = text(entry);
    } else if (entry.key == "note") {
      rule.notes.push_back(text(entry));
    } else {
      diagnostics_.add(entry.key_position, entry.key,
                       "unknown key; a rule has when, unless, set, drop, group, sweep, refuse, "
                       "peak_tflops, layer_time and note");
    }
  }

  void words(const Entry& entry, std::vector<std::pair<std::string, Words>>& conditions) {
    if (entry.value.table() == nullptr) {
      diagnostics_.add(entry.value.position, entry.key, "expected a table of columns");
      return;
    }
    for (const Entry& column : *entry.value.table()) {
      conditions.emplace_back(column.key, Words(text(column)));
    }
  }

  // Flattens { training = { recompute = "full" } } and { "training.recompute" = "full" } alike.
  void assignments(const Entry& entry, const std::string& path,
                   std::vector<std::pair<std::string, Value>>& set) {
    if (const config::Table* table = entry.value.table()) {
      for (const Entry& inner : *table) {
        assignments(inner, path.empty() ? inner.key : path + "." + inner.key, set);
      }
    } else {
      set.emplace_back(path, entry.value);
    }
  }

  std::string text(const Entry& entry) {
    if (const auto* found = std::get_if<std::string>(&entry.value.data)) {
      return *found;
    }
    diagnostics_.add(entry.value.position, entry.key, "expected text in quotes");
    return {};
  }

  double number(const Entry& entry) {
    if (const auto* whole = std::get_if<std::int64_t>(&entry.value.data)) {
      return static_cast<double>(*whole);
    }
    if (const auto* real = std::get_if<double>(&entry.value.data)) {
      return *real;
    }
    diagnostics_.add(entry.value.position, entry.key, "expected a number");
    return 0;
  }

  config::Diagnostics& diagnostics_;
};

}  // namespace

SourceRules load_source_rules(config::Sources& sources, const std::string& path) {
  const Value root = config::parse_toml(sources, path, config::read_file(path));
  config::Diagnostics diagnostics;
  RuleReader reader(diagnostics);
  SourceRules rules;
  for (const Entry& entry : *root.table()) {
    if (entry.key == "fitted" && entry.value.table() != nullptr) {
      for (const Entry& source : *entry.value.table()) {
        rules.fitted[source.key] = reader.texts(source);
      }
      continue;
    }
    const auto* array = std::get_if<Array>(&entry.value.data);
    if (entry.key != "rule" || array == nullptr) {
      diagnostics.add(entry.key_position, entry.key,
                      "expected [[rule]] tables and one table [fitted]");
      continue;
    }
    for (const Value& value : *array) {
      rules.rules.push_back(reader.rule(value));
    }
  }
  diagnostics.throw_if_any();
  return rules;
}

}  // namespace foretrain::validation
