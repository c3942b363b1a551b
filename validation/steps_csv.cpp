// SPDX-License-Identifier: Apache-2.0
#include "validation/steps_csv.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

using config::Array;
using config::Entry;
using config::Table;
using config::Value;

std::optional<double> number_in(std::string_view cell) {
  double number = 0;
  const auto end = std::from_chars(cell.data(), cell.data() + cell.size(), number);
  const bool is_whole = end.ec == std::errc() && end.ptr == cell.data() + cell.size();
  return is_whole && std::isfinite(number) ? std::optional(number) : std::nullopt;
}

/// One row by the names of its columns; a column that the table lacks is an empty cell.
class Row {
 public:
  explicit Row(const CsvRow& row) : row_(row) {}

  [[nodiscard]] std::string_view cell(std::string_view column) const { return row_.text(column); }
  [[nodiscard]] std::optional<double> number(std::string_view column) const {
    return number_in(cell(column));
  }
  [[nodiscard]] std::optional<std::int64_t> count(std::string_view column) const {
    const auto found = number(column);
    const bool is_count = found && *found >= 1 && *found < 1e15 && std::floor(*found) == *found;
    return is_count ? std::optional(static_cast<std::int64_t>(*found)) : std::nullopt;
  }

 private:
  CsvRow row_;
};

/// A run file in the making.
class RunTree {
 public:
  RunTree() { root_.data = Table(); }

  void set(std::string_view path, Value value) { find_or_make(path) = std::move(value); }
  template <class T>
  void set(std::string_view path, T value) {
    set(path, Value{{}, std::move(value)});
  }
  [[nodiscard]] const Value* find(std::string_view path) const { return find_in(&root_, path); }
  [[nodiscard]] std::int64_t count(std::string_view path, std::int64_t fallback) const {
    const Value* value = find(path);
    const auto* whole = value == nullptr ? nullptr : std::get_if<std::int64_t>(&value->data);
    return whole == nullptr ? fallback : *whole;
  }
  void drop(const std::string& path) {
    const std::size_t dot = path.rfind('.');
    const std::string_view holder_path = std::string_view(path).substr(0, dot);
    Value* holder = dot == std::string::npos ? &root_ : find_in(&root_, holder_path);
    if (holder != nullptr && holder->table() != nullptr) {
      const std::string key = dot == std::string::npos ? path : path.substr(dot + 1);
      std::erase_if(*holder->table(), [&](const Entry& e) { return e.key == key; });
    }
  }
  /// The tree with the plain keys first, as a run file has them.
  [[nodiscard]] Value take() {
    Table& table = *root_.table();
    std::stable_partition(table.begin(), table.end(),
                          [](const Entry& e) { return e.value.table() == nullptr; });
    return std::move(root_);
  }

 private:
  template <class V>  // Value or const Value
  static V* entry(V* value, std::string_view key) {
    if (auto* table = value->table()) {
      for (auto& e : *table) {
        if (e.key == key) {
          return &e.value;
        }
      }
    }
    return nullptr;
  }

  template <class V>
  static V* find_in(V* value, std::string_view path) {
    while (!path.empty() && value != nullptr) {
      const std::size_t dot = std::min(path.find('.'), path.size());
      value = entry(value, path.substr(0, dot));
      path.remove_prefix(std::min(dot + 1, path.size()));
    }
    return value;
  }

  Value& find_or_make(std::string_view path) {
    Value* value = &root_;
    while (!path.empty()) {
      const std::size_t dot = std::min(path.find('.'), path.size());
      const std::string_view key = path.substr(0, dot);
      Table& table = *value->table();
      auto found = std::find_if(table.begin(), table.end(), [&](Entry& e) { return e.key == key; });
      if (found == table.end()) {
        table.push_back({std::string(key), {}, {{}, Table()}});
        found = table.end() - 1;
      }
      value = &found->value;
      path.remove_prefix(std::min(dot + 1, path.size()));
    }
    return *value;
  }

  Value root_;
};

// Columns that are whole numbers, and the keys they become.
struct Column {
  std::string_view name;
  std::string_view key;
  bool is_needed = true;
};
constexpr std::array<Column, 16> kCounts = {{
    {"num_gpus", "gpus"},
    {"layers", "model.layers"},
    {"hidden", "model.hidden"},
    {"heads", "model.heads"},
    {"kv_heads", "model.kv_heads", false},
    {"vocab", "model.vocabulary"},
    {"ffn", "model.ffn", false},
    {"seq_length", "training.sequence_length"},
    {"global_batch_size", "training.global_batch"},
    {"micro_batch_size", "training.micro_batch"},
    {"tp", "parallel.tensor"},
    {"pp", "parallel.pipeline"},
    {"cp", "parallel.context", false},
    {"vp", "parallel.virtual_stages", false},
    {"dp", "parallel.data", false},
    {"ep", "parallel.expert", false},
}};

/// Makes the case of one row.
class CaseWriter {
 public:
  CaseWriter(const Row& row, const SourceRules& rules) : row_(row) {
    set_columns();
    for (const SourceRule& rule : rules.rules) {
      if (applies(rule)) {
        apply(rule);
      }
    }
  }

  Case write(const std::string& name, int line) {
    Case one;
    one.id = std::string(row_.cell("id"));
    one.origin = fmt::format("{}:{} ({})", name, line, one.id);
    one.group = group_;
    settle_positions();
    settle_layout();
    set_measured();
    if (refusal_.empty()) {
      refusal_ = missing();
    }
    one.refusal = refusal_;
    one.run = tree_.take();
    return one;
  }

 private:
  void set_columns() {
    tree_.set("model.name", std::string(row_.cell("model")));
    tree_.set("model.source", std::string("a row of a table"));
    for (const Column& column : kCounts) {
      if (const auto count = row_.count(column.name)) {
        tree_.set(column.key, *count);
      }
    }
  }

  [[nodiscard]] bool applies(const SourceRule& rule) const {
    const auto holds = [&](const std::pair<std::string, Words>& condition) {
      return condition.second.is_in(row_.cell(condition.first));
    };
    return std::all_of(rule.when.begin(), rule.when.end(), holds) &&
           std::none_of(rule.unless.begin(), rule.unless.end(), holds);
  }

  void apply(const SourceRule& rule) {
    for (const auto& [path, value] : rule.set) {
      tree_.set(path, value);
    }
    for (const std::string& path : rule.drop) {
      tree_.drop(path);
    }
    notes_.insert(notes_.end(), rule.notes.begin(), rule.notes.end());
    group_ = rule.group.value_or(group_);
    sweep_ = rule.sweep.value_or(sweep_);
    refusal_ = rule.refuse.value_or(refusal_);
    peak_tflops_ = rule.peak_tflops ? rule.peak_tflops : peak_tflops_;
    layer_time_ = rule.layer_time ? rule.layer_time : layer_time_;
  }

  void settle_positions() {
    const Value* position = tree_.find("model.position");
    const auto* kind = position == nullptr ? nullptr : std::get_if<std::string>(&position->data);
    const std::int64_t length = tree_.count("training.sequence_length", 0);
    if (kind != nullptr && *kind == "learned" && length > 0) {
      tree_.set("model.max_positions", length);
    }
  }

  // Keys that say nothing are mistakes in a run file: expert, context or chunks of one.
  void settle_layout() {
    const std::int64_t pipeline = tree_.count("parallel.pipeline", 1);
    if (tree_.count("parallel.expert", 1) > 1 && refusal_.empty()) {
      refusal_ = "a table does not say what the experts of a model are; a run file can";
    }
    tree_.drop("parallel.expert");
    drop_if("parallel.context", tree_.count("parallel.context", 1) == 1);
    drop_if("parallel.virtual_stages",
            pipeline == 1 || tree_.count("parallel.virtual_stages", 1) == 1);
    drop_if("parallel.sequence_parallel", tree_.count("parallel.tensor", 1) == 1);
    drop_if("parallel.schedule", pipeline == 1);
    drop_if("parallel.shard", tree_.count("parallel.zero", 0) == 0);
    share_layers(pipeline, tree_.count("parallel.virtual_stages", 1));
  }

  void drop_if(const std::string& path, bool is_void) {
    if (is_void) {
      tree_.drop(path);
    }
  }

  // Where the layers do not divide and nobody says how they were shared: embedding and head count
  // as a layer where that divides, else the first stages get one more.
  void share_layers(std::int64_t pipeline, std::int64_t virtual_stages) {
    const std::int64_t layers = tree_.count("model.layers", 0);
    const std::int64_t chunks = pipeline * virtual_stages;
    const bool is_said = tree_.find("parallel.embedding_as_layer") != nullptr ||
                         tree_.find("parallel.stage_layers") != nullptr;
    if (is_said || layers == 0 || layers % chunks == 0) {
      return;
    }
    if ((layers + 2) % chunks == 0) {
      tree_.set("parallel.embedding_as_layer", true);
      notes_.emplace_back("layers shared as if embedding and head were one each");
    } else if (virtual_stages == 1 && layers > pipeline) {
      Array stages;
      for (std::int64_t stage = 0; stage < pipeline; ++stage) {
        stages.push_back({{}, layers / pipeline + (stage < layers % pipeline ? 1 : 0)});
      }
      tree_.set("parallel.stage_layers", std::move(stages));
      notes_.emplace_back("the first stages hold one layer more");
    }
  }

  void set_measured() {
    const bool has_time = set_time();
    drop_if("measured.flops_count", tree_.find("measured.flops_per_gpu") == nullptr);
    drop_if("measured.flops_per_token", tree_.find("measured.flops_per_gpu") == nullptr);
    const bool has_memory = set_memory();
    drop_if("measured.memory_kind", !has_memory);
    const std::string_view status = row_.cell("status");
    if (status == "OOM" || status == "ok") {
      tree_.set("measured.fits", status == "ok");
    }
    if (!has_time && !has_memory && status != "OOM" && refusal_.empty()) {
      refusal_ = "no step time, rate or memory, or a rate whose FLOPs nobody defined";
    }
    set_labels();
  }

  bool set_time() {
    if (const auto milliseconds = layer_time()) {
      tree_.set("measured.layer_time", fmt::format("{} ms", *milliseconds));
      return true;
    }
    for (const std::string_view column : {"measured_step_time_s", "derived_step_time_s"}) {
      if (const auto seconds = row_.number(column)) {
        tree_.set("measured.step_time", fmt::format("{} s", *seconds));
        return true;
      }
    }
    if (const auto tokens = row_.number("measured_tokens_per_s_per_gpu")) {
      tree_.set("measured.tokens_per_second_per_gpu", *tokens);
      return true;
    }
    return set_flops();
  }

  bool set_flops() {
    auto tflops = row_.number("measured_tflops_per_gpu");
    const auto utilization = row_.number("measured_mfu_pct");
    if (!tflops && utilization && peak_tflops_) {
      tflops = *utilization / 100 * *peak_tflops_;
    }
    if (tflops && tree_.find("measured.flops_count") != nullptr) {
      tree_.set("measured.flops_per_gpu", fmt::format("{} TFLOP/s", *tflops));
      return true;
    }
    return false;
  }

  // "measured_layer_combined_ms=19.6; ..." in the notes.
  [[nodiscard]] std::optional<double> layer_time() const {
    if (!layer_time_) {
      return std::nullopt;
    }
    const std::string_view notes = row_.cell("notes");
    const std::string key = *layer_time_ + "=";
    const std::size_t at = notes.find(key);
    if (at == std::string_view::npos) {
      return std::nullopt;
    }
    const std::string_view rest = notes.substr(at + key.size());
    return number_in(rest.substr(0, rest.find_first_not_of("0123456789.")));
  }

  bool set_memory() {
    const auto gibibytes = row_.number("measured_peak_mem_gib");
    const auto gigabytes = row_.number("measured_peak_mem_gb");
    if (!gibibytes && !gigabytes) {
      return false;
    }
    tree_.set("measured.peak_memory",
              gibibytes ? fmt::format("{} GiB", *gibibytes) : fmt::format("{} GB", *gigabytes));
    if (tree_.find("measured.memory_kind") == nullptr) {
      tree_.set("measured.memory_kind", std::string("allocator"));
    }
    return true;
  }

  void set_labels() {
    tree_.set("measured.source", std::string(row_.cell("source")));
    tree_.set("measured.group", group_);
    if (!sweep_.empty()) {
      std::string sweep;
      for (const std::string& column : sweep_) {
        sweep += fmt::format("{}{} {}", sweep.empty() ? "" : ", ", column, row_.cell(column));
      }
      tree_.set("measured.sweep", sweep);
    }
    tree_.set("measured.quality", std::string(row_.cell("quality")));
    if (!notes_.empty()) {
      tree_.set("measured.notes", fmt::format("{}", fmt::join(notes_, "; ")));
    }
  }

  // What the row does not say and no rule knows.
  [[nodiscard]] std::string missing() const {
    std::vector<std::string> names;
    for (const Column& column : kCounts) {
      if (column.is_needed && tree_.find(column.key) == nullptr) {
        names.emplace_back(column.name);
      }
    }
    for (const std::string_view key : {"platform", "model.mlp", "training.precision"}) {
      if (tree_.find(key) == nullptr) {
        names.emplace_back(key);
      }
    }
    return names.empty() ? "" : fmt::format("not stated: {}", fmt::join(names, ", "));
  }

  const Row& row_;
  RunTree tree_;
  std::vector<std::string> notes_;
  std::string group_ = "other";
  std::vector<std::string> sweep_;
  std::string refusal_;
  std::optional<double> peak_tflops_;
  std::optional<std::string> layer_time_;
};

}  // namespace

std::vector<Case> cases_of(const CsvTable& table, const SourceRules& rules, const std::string& name,
                           const std::string& qualities) {
  static constexpr std::array<std::string_view, 6> kNeeded = {"id",     "source",   "quality",
                                                              "status", "num_gpus", "gpu"};
  config::Diagnostics diagnostics;
  table.require(kNeeded, diagnostics);
  diagnostics.throw_if_any();
  std::vector<Case> cases;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const CsvRow cells = table.row(i, diagnostics);
    const Row row(cells);
    const std::string_view quality = row.cell("quality");
    if (quality.empty() || qualities.find(quality) == std::string::npos) {
      continue;
    }
    cases.push_back(CaseWriter(row, rules).write(name, cells.line()));
  }
  return cases;
}

}  // namespace foretrain::validation
