// SPDX-License-Identifier: Apache-2.0
#include "sim/study/what_if/hardware.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "sim/config/catalogue.hpp"
#include "sim/config/text.hpp"
#include "sim/core/error.hpp"
#include "strategies/load_platform.hpp"

namespace foretrain {
namespace {

using config::Array;
using config::Table;
using config::Value;

Value text_value(std::string text) { return {{}, std::move(text)}; }

config::Entry* find(Table& table, std::string_view key) {
  const auto entry = std::find_if(table.begin(), table.end(),
                                  [&](const config::Entry& each) { return each.key == key; });
  return entry == table.end() ? nullptr : &*entry;
}

const Value* pointer(const std::optional<Value>& value) { return value ? &*value : nullptr; }

Value read_tree(config::Sources& sources, const std::string& path, const Value* overrides) {
  Value tree = parse_toml(sources, path, config::read_file(path));
  if (overrides != nullptr) {
    merge(tree, *overrides);
  }
  return tree;
}

// A part's file by name, or by a path that means the same from anywhere: the list of parts moves
// from its cluster's file to an override.
std::string part_name(const Value& entry) {
  const std::string name = std::get<std::string>(entry_of(entry, "cluster")->data);
  const config::Source* const file = entry_of(entry, "cluster")->position.source;
  const bool is_relative = config::is_path(name) && !name.starts_with('/');
  return is_relative && file != nullptr
             ? (std::filesystem::path(file->name).parent_path() / name).string()
             : name;
}

template <class Q>
std::string_view base_unit();
template <>
std::string_view base_unit<Bytes>() {
  return "B";
}
template <>
std::string_view base_unit<BytesPerSecond>() {
  return "B/s";
}
template <>
std::string_view base_unit<Seconds>() {
  return "s";
}
template <>
std::string_view base_unit<FlopsPerSecond>() {
  return "FLOP/s";
}

}  // namespace

const Value* entry_of(const Value& table, std::string_view key) {
  if (const Table* entries = table.table()) {
    for (const config::Entry& entry : *entries) {
      if (entry.key == key) {
        return &entry.value;
      }
    }
  }
  return nullptr;
}

void put(Value& table, std::string_view path, Value value) {
  const std::size_t dot = path.find('.');
  const std::string key(path.substr(0, dot));
  Table& entries = *table.table();
  config::Entry* entry = find(entries, key);
  if (entry == nullptr) {
    entries.push_back({key, {}, {{}, Table()}});
    entry = &entries.back();
  }
  if (dot == std::string_view::npos) {
    entry->value = std::move(value);
  } else {
    put(entry->value, path.substr(dot + 1), std::move(value));
  }
}

void refuse(const Amount& amount, const std::string& message) {
  config::fail_at(amount.position, message);
}

double pure_factor(const Amount& amount, const std::string& why) {
  if (!amount.factor) {
    refuse(amount, "expected a factor such as 2x or a change such as +50%, got \"" + amount.text +
                       "\": " + why);
  }
  return *amount.factor;
}

template <class Q>
double factor_of(Q before, const Amount& amount) {
  if (amount.factor) {
    return *amount.factor;
  }
  const std::optional<Q> after = config::parse_quantity<Q>(amount.text);
  if (!after || *after <= Q(0)) {
    refuse(amount, fmt::format("expected {}, or a factor such as 2x or +50%, got \"{}\"",
                               config::expected_quantity<Q>(), amount.text));
  }
  return *after / before;
}

std::int64_t count_of(std::int64_t before, const Amount& amount) {
  if (amount.factor) {
    const double after = static_cast<double>(before) * *amount.factor;
    if (std::abs(after - std::round(after)) > 1e-9 || std::round(after) < 1) {
      refuse(amount, fmt::format("{} of {} is no whole number", amount.text, before));
    }
    return std::llround(after);
  }
  std::int64_t after = 0;
  const char* const end = amount.text.data() + amount.text.size();
  const auto [stop, error] = std::from_chars(amount.text.data(), end, after);
  if (error != std::errc() || stop != end || after < 1) {
    refuse(amount, "expected a whole number, or a factor such as 2x, got \"" + amount.text + "\"");
  }
  return after;
}

Hardware::Hardware(const RunFile& run, config::Sources& sources, const Catalogue& catalogue,
                   const std::string& directory, std::string why)
    : cluster_(load_platform(run, sources, catalogue, directory)),
      counts_gpus_(run.gpus.has_value()),
      platforms_(catalogue.platforms),
      sources_(&sources),
      why_(std::move(why)) {
  const std::string clusters = catalogue.platforms + "/clusters";
  whole_.cluster = &cluster_;
  whole_.file =
      read_tree(sources, config::find_file("cluster", beside(run.platform, directory), clusters),
                pointer(run.platform_overrides));
  if (const Value* const list = entry_of(whole_.file, "parts")) {
    std::size_t index = 0;
    for (const Value& entry : std::get<Array>(list->data)) {
      NodeFiles part;
      part.cluster = cluster_.parts.at(index++).cluster.get();
      const Value* const replaced = entry_of(entry, "override");
      const Value* const platform = replaced == nullptr ? nullptr : entry_of(*replaced, "platform");
      part.file =
          read_tree(sources, config::find_file("cluster", part_name(entry), clusters), platform);
      parts_.push_back(std::move(part));
    }
  }
  nodes_ = run.nodes.value_or(cluster_.nodes);
  if (run.gpus) {
    nodes_ = (*run.gpus + cluster_.gpus_per_node - 1) / cluster_.gpus_per_node;
  }
}

std::vector<NodeFiles*> Hardware::kinds() {
  if (parts_.empty()) {
    return {&whole_};
  }
  std::vector<NodeFiles*> kinds;
  kinds.reserve(parts_.size());
  for (NodeFiles& part : parts_) {
    kinds.push_back(&part);
  }
  return kinds;
}

Value Hardware::sourced(Value value) const {
  Value table{{}, Table()};
  put(table, "value", std::move(value));
  put(table, "basis", text_value("assumed"));
  put(table, "source", text_value(why_));
  return table;
}

void Hardware::note(std::string_view path, const std::string& before, const std::string& after) {
  std::string line = fmt::format("{} {} -> {}", path, before, after);
  if (std::find(notes_.begin(), notes_.end(), line) == notes_.end()) {
    notes_.push_back(std::move(line));
  }
}

template <class Q>
void Hardware::change(Value& table, std::string_view path, Q before, const Amount& amount) {
  const Q after = before * factor_of(before, amount);
  note(path, config::show(before), config::show(after));
  put(table, path,
      sourced(text_value(fmt::format("{} {}", config::toml_number(after.value), base_unit<Q>()))));
}

void Hardware::change_number(Value& table, std::string_view path, double before, double after) {
  note(path, show_number(before), show_number(after));
  put(table, path, sourced({{}, after}));
}

template <class Q>
void Hardware::change_entry(Value& entry, std::string_view name, Q before, const Amount& amount) {
  const Q after = before * factor_of(before, amount);
  note(name, config::show(before), config::show(after));
  put(entry, "rate",
      text_value(fmt::format("{} {}", config::toml_number(after.value), base_unit<Q>())));
  put(entry, "basis", text_value("assumed"));
  put(entry, "source", text_value(why_));
}

std::vector<std::string> Hardware::part_names() const {
  std::vector<std::string> names;
  if (const Value* const list = entry_of(whole_.file, "parts")) {
    for (const Value& entry : std::get<Array>(list->data)) {
      names.push_back(part_name(entry));
    }
  }
  return names;
}

Value Hardware::parts() const {
  Value list = *entry_of(whole_.file, "parts");
  std::size_t index = 0;
  for (Value& entry : std::get<Array>(list.data)) {
    const NodeFiles& part = parts_[index++];
    put(entry, "cluster", text_value(part_name(entry)));
    Value changed{{}, Table()};
    put(changed, "override.platform", part.platform);
    put(changed, "override.gpu", part.gpu);
    merge(entry, changed);
  }
  return list;
}

Value Hardware::overrides() const {
  Value root{{}, Table()};
  if (new_nodes_ > 0) {
    const std::int64_t size = counts_gpus_ ? new_nodes_ * cluster_.gpus_per_node : new_nodes_;
    put(root, counts_gpus_ ? "gpus" : "nodes", {{}, size});
  }
  put(root, "override.platform", whole_.platform);
  if (parts_.empty()) {
    put(root, "override.gpu", whole_.gpu);
  } else {
    put(root, "override.platform.parts", parts());
  }
  return root;
}

template double factor_of(BytesPerSecond, const Amount&);
template void Hardware::change(Value&, std::string_view, Bytes, const Amount&);
template void Hardware::change(Value&, std::string_view, BytesPerSecond, const Amount&);
template void Hardware::change(Value&, std::string_view, Seconds, const Amount&);
template void Hardware::change(Value&, std::string_view, FlopsPerSecond, const Amount&);
template void Hardware::change_entry(Value&, std::string_view, BytesPerSecond, const Amount&);

}  // namespace foretrain
