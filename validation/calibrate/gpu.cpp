// Every parameter is fitted through kernel_time itself, on residuals log(predicted / measured), so
// that a file means to the simulator exactly what it meant to the fit.
// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/gpu.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "platforms/names.hpp"
#include "sim/core/hash.hpp"
#include "validation/calibrate/tree.hpp"

namespace foretrain::validation {
namespace {

using config::Value;
using Rows = std::vector<const MeasuredKernel*>;

constexpr std::size_t kFewRows = 60;    // below, every shape is left out in turn
constexpr std::size_t kManyRows = 100;  // from here, a last wave can be told from pipeline fill

/// A parameter to be fitted: where it stands in the file and in the GPU.
struct Slot {
  std::string key;
  std::string unit;  ///< "us": the file and the fit count in it
  Bounded range;
  std::function<void(Gpu&, double)> set;
  bool is_written = true;
};

// FNV-1a leaves the high bits of like texts alike: one step of splitmix64 (Steele et al. 2014).
std::uint64_t mixed(std::uint64_t hash) {
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;
  return hash ^ (hash >> 27U);
}

double three_digits(double value) { return std::stod(fmt::format("{:.3g}", value)); }

double log_ratio(const MeasuredKernel& row, const Gpu& gpu) {
  return std::log(kernel_time(row.kernel, gpu) / row.time);
}

double error_of(const MeasuredKernel& row, const Gpu& gpu) {
  return std::abs(std::exp(log_ratio(row, gpu)) - 1);
}

void set_all(Gpu& gpu, const std::vector<Slot>& slots, const std::vector<double>& values) {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    slots[i].set(gpu, values[i]);
  }
}

std::vector<double> values_of(const RobustFit& fit) {
  std::vector<double> values;
  for (const Estimate& estimate : fit.parameters) {
    values.push_back(estimate.value);
  }
  return values;
}

RobustFit fit_rows(const Rows& rows, const std::vector<Slot>& slots, Gpu gpu, double scale = 0) {
  std::vector<Bounded> ranges;
  ranges.reserve(slots.size());
  for (const Slot& slot : slots) {
    ranges.push_back(slot.range);
  }
  const auto residuals = [&](const std::vector<double>& values) {
    set_all(gpu, slots, values);
    std::vector<double> all;
    all.reserve(rows.size());
    for (const MeasuredKernel* row : rows) {
      all.push_back(log_ratio(*row, gpu));
    }
    return all;
  };
  return robust_fit(ranges, residuals, scale);
}

/// The errors of one table's rows, by what they were to the fit.
struct Scores {
  std::vector<std::pair<const MeasuredKernel*, double>> fitted;
  std::vector<std::pair<const MeasuredKernel*, double>> held;
};

class GpuCalibrator {
 public:
  GpuCalibrator(const KernelTable& table, const Value& base, const CalibrateOptions& options)
      : options_(options), tree_(base) {
    for (const MeasuredKernel& kernel : table.kernels) {
      by_table_[kernel.table].push_back(&kernel);
    }
    result_.rejected = table.rejected;
    forget_earlier();
  }

  GpuCalibration run() {
    add_placeholders();
    restore_earlier();
    gpu_ = parsed(tree_);
    gpu_.sustained.value = 1;  // what whole steps sustain is not in a table of kernels
    drop_unsupported();
    for (const auto& [name, dtype] : kDtypeNames) {
      calibrate_gemm(std::string(name), dtype);
    }
    calibrate_grouped();
    calibrate_flash();
    calibrate_memory();
    finish();
    return std::move(result_);
  }

 private:
  // ---- which keys are to be fitted ----

  void forget_earlier() {
    std::vector<std::string> keys;
    if (const Value* fitted = find_key(tree_, "calibration.fitted")) {
      if (const auto* list = std::get_if<config::Array>(&fitted->data)) {
        for (const Value& key : *list) {
          if (const auto* text = std::get_if<std::string>(&key.data)) {
            keys.push_back(*text);
          }
        }
      }
    }
    for (const std::string& key : keys) {
      if (const Value* value = find_key(tree_, key)) {
        earlier_.emplace_back(key, *value);
      }
    }
    for (const std::string& key : keys) {
      erase_key(tree_, key);
    }
    erase_key(tree_, "calibration");
  }

  // What an earlier table fitted and this one has no rows for stands as it was.
  void restore_earlier() {
    for (auto& [key, value] : earlier_) {
      const std::string& name = key;
      const bool is_fitted_again =
          std::any_of(by_table_.begin(), by_table_.end(),
                      [&name](const auto& table) { return name.starts_with(table.first); });
      if (!is_fitted_again && find_key(tree_, key) == nullptr) {
        put_key(tree_, key, std::move(value));
      }
    }
  }

  // A number to start from, so that the file can be read; `free_` remembers that it is ours to set.
  void start(const std::string& key, Value value) {
    if (find_key(tree_, key) == nullptr) {
      put_key(tree_, key, std::move(value));
      free_.insert(key);
    }
  }

  void add_placeholders() {
    for (const auto& [name, dtype] : kDtypeNames) {
      const std::string key = "gemm." + std::string(name);
      if (!has_rows(key) || find_key(tree_, "peak." + std::string(name)) == nullptr) {
        continue;
      }
      if (find_key(tree_, key) == nullptr) {
        whole_.insert(key);
      }
      if (find_key(tree_, key + ".same_as") == nullptr) {
        start(key + ".efficiency", value_of(0.7));
        start(key + ".bandwidth", value_of(0.8));
        start(key + ".floor", value_of(std::string("4 us")));
        start(key + ".k_fill", value_of(0.0));
        start(key + ".occupancy", value_of(0.0));
      }
      if (has_weight_gradients(by_table_[key])) {
        start("weight_gradient", value_of(0.95));
      }
    }
    if (has_rows("grouped")) {
      start("grouped_floor", value_of(std::string("4 us")));
    }
    add_flash_placeholders();
    add_memory_placeholders();
  }

  void add_flash_placeholders() {
    for (const auto& [name, version] : kFlashNames) {
      for (const std::string direction : {"forward", "backward"}) {
        const std::string key = "flash." + std::string(name) + "." + direction;
        if (has_rows(key)) {
          start(key, value_of(0.4));
          start(key + "_tail", value_of(1.0));
        }
      }
    }
  }

  void add_memory_placeholders() {
    for (const auto& [name, op] : kMemoryOpNames) {
      const std::string key = "memory_bound." + std::string(name);
      if (!has_rows(key)) {
        continue;
      }
      start("memory_bound.floor", value_of(std::string("2 us")));
      const bool is_ours = find_key(tree_, key) == nullptr;
      start(key, value_of(0.5));
      if (is_ours && op != MemoryOp::streaming && find_key(tree_, "clock") != nullptr) {
        start("memory_bound.elements_per_clock." + std::string(name), value_of(1.0));
      }
    }
  }

  [[nodiscard]] bool has_rows(const std::string& table) const { return by_table_.contains(table); }

  static bool is_weight_gradient(const MeasuredKernel& row) {
    const Gemm* gemm = std::get_if<Gemm>(&row.kernel.shape);
    return gemm != nullptr && gemm->pass == GemmPass::weight_gradient;
  }
  static bool has_weight_gradients(const Rows& rows) {
    return std::any_of(rows.begin(), rows.end(),
                       [](const MeasuredKernel* row) { return is_weight_gradient(*row); });
  }

  static Gpu parsed(const Value& tree) {
    config::Diagnostics diagnostics;
    config::Reader reader(tree, "", diagnostics);
    Gpu gpu = read_gpu(reader);
    diagnostics.throw_if_any();
    return gpu;
  }

  void drop_unsupported() {
    for (auto entry = by_table_.begin(); entry != by_table_.end();) {
      Rows& rows = entry->second;
      const auto gone = std::remove_if(rows.begin(), rows.end(), [&](const MeasuredKernel* row) {
        const Gemm* gemm = std::get_if<Gemm>(&row->kernel.shape);
        return gemm != nullptr && !supports(gpu_, gemm->dtype);
      });
      if (gone != rows.end()) {
        result_.rejected["data type that the GPU file has no peak for"] +=
            static_cast<int>(rows.end() - gone);
        rows.erase(gone, rows.end());
      }
      entry = rows.empty() ? by_table_.erase(entry) : std::next(entry);
    }
  }

  // ---- fitting ----

  // Which part of the rows a shape is left out with; with few rows every shape is a part of its
  // own.
  [[nodiscard]] std::string part_of(const MeasuredKernel& row, std::size_t num_rows) const {
    if (num_rows < kFewRows) {
      return row.shape;
    }
    const std::uint64_t hash = mixed(fnv1a_64(fmt::format("{} {}", options_.seed, row.shape)));
    return std::to_string(hash % static_cast<std::uint64_t>(options_.holdout));
  }

  [[nodiscard]] Scores scores_of(const Rows& rows, const std::vector<Slot>& slots,
                                 const std::vector<double>& start_at, const Gpu& fitted) const {
    Scores scores;
    std::vector<Slot> warm = slots;  // each smaller fit starts from the whole one
    for (std::size_t i = 0; i < slots.size(); ++i) {
      warm[i].range.start = start_at[i];
    }
    for (const MeasuredKernel* row : rows) {
      scores.fitted.emplace_back(row, error_of(*row, fitted));
    }
    std::map<std::string, Rows> parts;
    for (const MeasuredKernel* row : rows) {
      parts[part_of(*row, rows.size())].push_back(row);
    }
    for (const auto& [name, left_out] : parts) {
      const std::string& part = name;  // clang 14 takes no binding into a lambda
      Rows others;
      std::copy_if(rows.begin(), rows.end(), std::back_inserter(others),
                   [&](const MeasuredKernel* row) { return part_of(*row, rows.size()) != part; });
      Gpu gpu = fitted;
      if (!slots.empty() && !others.empty()) {
        set_all(gpu, slots, values_of(fit_rows(others, warm, gpu)));
      }
      for (const MeasuredKernel* row : left_out) {
        scores.held.emplace_back(row, error_of(*row, gpu));
      }
    }
    return scores;
  }

  /// Fits, keeps the values in `gpu`, scores, and notes the numbers.
  Scores fit_table(const Rows& rows, const std::vector<Slot>& slots, Gpu& gpu) {
    std::vector<double> values;
    if (!slots.empty()) {
      const RobustFit fit = fit_rows(rows, slots, gpu);
      values = values_of(fit);
      set_all(gpu, slots, values);
      for (std::size_t i = 0; i < slots.size(); ++i) {
        result_.numbers.push_back(
            {slots[i].key, fit.parameters[i], slots[i].unit, slots[i].is_written});
      }
    }
    return scores_of(rows, slots, values, gpu);
  }

  // ---- GEMM ----

  static Slot efficiency_slot(const std::string& key, Dtype dtype) {
    return {key + ".efficiency", "", {0.7, 0.01, 1}, [dtype](Gpu& gpu, double value) {
              gpu.gemm[dtype].efficiency.value = value;
            }};
  }

  std::vector<Slot> base_slots(const std::string& key, Dtype dtype) const {
    std::vector<Slot> slots = {
        efficiency_slot(key, dtype),
        {key + ".bandwidth",
         "",
         {0.8, 0.01, 1},
         [dtype](Gpu& gpu, double value) { gpu.gemm[dtype].bandwidth.value = value; }},
        {key + ".floor", "us", {4, 0, 100}, [dtype](Gpu& gpu, double value) {
           gpu.gemm[dtype].floor.value = Seconds(value * 1e-6);
         }}};
    std::erase_if(slots, [&](const Slot& slot) { return !free_.contains(slot.key); });
    return slots;
  }

  // Pipeline fill and last wave are taken in when they earn their place by Akaike's criterion; the
  // last wave needs many rows to be told from the fill.
  [[nodiscard]] std::vector<Slot> best_form(const Rows& rows, const std::vector<Slot>& base,
                                            const std::string& key, Dtype dtype) const {
    const Slot fill = {key + ".k_fill", "", {50, 0, 4096}, [dtype](Gpu& gpu, double value) {
                         gpu.gemm[dtype].k_fill = value;
                       }};
    const Slot wave = {key + ".occupancy", "", {0.05, 0, 4}, [dtype](Gpu& gpu, double value) {
                         gpu.gemm[dtype].occupancy = value;
                       }};
    std::vector<std::vector<Slot>> additions = {{}};
    if (free_.contains(fill.key)) {
      additions.push_back({fill});
      if (rows.size() >= kManyRows) {
        additions.push_back({wave});
        additions.push_back({fill, wave});
      }
    }
    const double scale = fit_rows(rows, base, gpu_).scale;
    std::vector<Slot> best;
    double least = 0;
    for (const std::vector<Slot>& addition : additions) {
      std::vector<Slot> form = base;
      form.insert(form.end(), addition.begin(), addition.end());
      const double criterion =
          static_cast<double>(rows.size()) * std::log(fit_rows(rows, form, gpu_, scale).cost) +
          2 * static_cast<double>(form.size());
      if (best.empty() || criterion < least) {
        least = criterion;
        best = std::move(form);
      }
    }
    return best;
  }

  void calibrate_gemm(const std::string& name, Dtype dtype) {
    const std::string key = "gemm." + name;
    if (!has_rows(key)) {
      return;
    }
    const Rows& rows = by_table_.at(key);
    std::vector<Slot> slots = base_slots(key, dtype);
    const bool has_weights = free_.contains("weight_gradient") && has_weight_gradients(rows);
    if (slots.empty() && has_weights) {  // the level of these rows, to compare the passes at
      slots.push_back(efficiency_slot(key, dtype));
      slots.back().is_written = false;
    }
    if (has_weights) {
      slots.push_back({"weight_gradient", "", {0.95, 0.1, 1}, [](Gpu& gpu, double value) {
                         gpu.weight_gradient.value = value;
                       }});
    }
    if (!slots.empty() && slots.front().is_written) {
      slots = best_form(rows, slots, key, dtype);
    }
    Gpu fitted = gpu_;
    const Scores scores = fit_table(rows, slots, fitted);
    add_sizes(key, scores);
    describe(slots, rows, scores, "m >= 1024");
    const GemmFit kept = gpu_.gemm.at(dtype);
    gpu_ = std::move(fitted);
    if (!slots.empty() && !slots.front().is_written) {
      gpu_.gemm[dtype] = kept;
    }
  }

  void calibrate_grouped() {
    if (!has_rows("grouped")) {
      return;
    }
    const Rows& rows = by_table_.at("grouped");
    std::vector<Slot> slots;
    if (free_.contains("grouped_floor")) {
      slots.push_back({"grouped_floor", "us", {4, 0, 100}, [](Gpu& gpu, double value) {
                         gpu.grouped_floor.value = Seconds(value * 1e-6);
                       }});
    }
    const Scores scores = fit_table(rows, slots, gpu_);
    add_line("grouped", "all", scores, [](const MeasuredKernel&) { return true; });
    describe(slots, rows, scores, "all");
  }

  // ---- flash attention ----

  void calibrate_flash() {
    for (const auto& [name, each] : kFlashNames) {
      for (const bool is_backward : {false, true}) {
        const FlashVersion version = each;
        const std::string key =
            "flash." + std::string(name) + (is_backward ? ".backward" : ".forward");
        if (!has_rows(key)) {
          continue;
        }
        const auto fit_of = [version, is_backward](Gpu& gpu) -> FlashFit& {
          return (is_backward ? gpu.flash_backward : gpu.flash_forward)[version];
        };
        std::vector<Slot> slots = {
            {key,
             "",
             {0.4, 0.01, 1},
             [fit_of](Gpu& gpu, double value) { fit_of(gpu).efficiency.value = value; }},
            {key + "_tail", "", {1, 0, 20}, [fit_of](Gpu& gpu, double value) {
               fit_of(gpu).tail = value;
             }}};
        std::erase_if(slots, [&](const Slot& slot) { return !free_.contains(slot.key); });
        const Rows& rows = by_table_.at(key);
        const Scores scores = fit_table(rows, slots, gpu_);
        add_line(key, "all", scores, [](const MeasuredKernel&) { return true; });
        describe(slots, rows, scores, "all");
      }
    }
  }

  // ---- memory-bound ----

  // All ops of the table are fitted together, for they share the floor and the streaming limit;
  // what the base file states for itself (of other kernels than the table's) is then put back.
  void calibrate_memory() {
    Rows rows;
    std::vector<Slot> slots;
    std::vector<Slot> shares;
    Gpu fitted = gpu_;
    slots.push_back({"memory_bound.floor", "us", {2, 0, 100}, [](Gpu& gpu, double value) {
                       gpu.memory_floor.value = Seconds(value * 1e-6);
                     }});
    for (const auto& [name, each] : kMemoryOpNames) {
      const std::string key = "memory_bound." + std::string(name);
      if (!has_rows(key)) {
        continue;
      }
      rows.insert(rows.end(), by_table_.at(key).begin(), by_table_.at(key).end());
      const MemoryOp op = each;
      Slot share = {key, "", {0.5, 0.01, 1}, [op](Gpu& gpu, double value) {
                      gpu.memory_share[op].value = value;
                    }};
      if (op == MemoryOp::streaming || gpu_.clock.value <= Hertz(0)) {
        slots.push_back(std::move(share));
      } else {
        fitted.element_rate[op].value = 1;
        slots.push_back({"memory_bound.elements_per_clock." + std::string(name),
                         "",
                         {1, 0.01, 100},
                         [op](Gpu& gpu, double value) { gpu.element_rate[op].value = value; }});
        shares.push_back(std::move(share));
      }
    }
    if (rows.empty()) {
      return;
    }
    fit_memory(rows, slots, shares, fitted);
  }

  void fit_memory(const Rows& rows, std::vector<Slot>& slots, std::vector<Slot>& shares,
                  Gpu& fitted) {
    for (std::vector<Slot>* list : {&slots, &shares}) {
      for (Slot& slot : *list) {
        slot.is_written = free_.contains(slot.key);
        if (!slot.is_written && slot.range.most <= 1) {
          slot.range.most = 1.5;  // out of a cache, where the table's tensors fit in it
        }
      }
    }
    const Scores scores = fit_table(rows, slots, fitted);
    add_line("memory_bound", "all", scores, [](const MeasuredKernel&) { return true; });
    add_line("memory_bound", "m >= 1024", scores,
             [](const MeasuredKernel& row) { return row.m >= 1024; });
    for (const auto& [name, op] : kMemoryOpNames) {
      const std::string key = "memory_bound." + std::string(name);
      if (has_rows(key)) {
        add_line(key, "m >= 1024", scores,
                 [&](const MeasuredKernel& row) { return row.table == key && row.m >= 1024; });
      }
    }
    describe(slots, rows, scores, "m >= 1024");
    if (!shares.empty()) {
      fit_shares(rows, shares, fitted);
    }
  }

  // The one-limit form, for kernels that do not say their rows: large rows only, where it holds.
  void fit_shares(const Rows& rows, const std::vector<Slot>& shares, Gpu& fitted) {
    fitted.element_rate.clear();
    Rows large;
    std::copy_if(rows.begin(), rows.end(), std::back_inserter(large),
                 [](const MeasuredKernel* row) { return row->m >= 256; });
    if (large.empty()) {
      return;
    }
    const Scores scores = fit_table(large, shares, fitted);
    add_line("memory_bound, share", "m >= 1024", scores,
             [](const MeasuredKernel& row) { return row.m >= 1024; });
    describe(shares, large, scores, "m >= 1024");
  }

  // ---- noting ----

  template <class Is>
  void add_line(const std::string& table, const std::string& size, const Scores& scores, Is is) {
    const auto some = [&](const std::vector<std::pair<const MeasuredKernel*, double>>& all) {
      std::vector<double> errors;
      for (const auto& [row, error] : all) {
        if (is(*row)) {
          errors.push_back(error);
        }
      }
      return errors_of(std::move(errors));
    };
    const ErrorLine line = {table, size, some(scores.fitted), some(scores.held)};
    if (line.fitted.rows + line.held.rows > 0) {
      result_.errors.push_back(line);
    }
  }

  void add_sizes(const std::string& table, const Scores& scores) {
    const auto gigaflops = [](const MeasuredKernel& row) { return flops(row.kernel).value * 1e-9; };
    add_line(table, "all", scores, [](const MeasuredKernel&) { return true; });
    add_line(table, "small", scores,
             [&](const MeasuredKernel& row) { return gigaflops(row) < 10; });
    add_line(table, "medium", scores, [&](const MeasuredKernel& row) {
      return gigaflops(row) >= 10 && gigaflops(row) < 200;
    });
    add_line(table, "large", scores,
             [&](const MeasuredKernel& row) { return gigaflops(row) >= 200; });
    add_line(table, "m >= 1024", scores, [](const MeasuredKernel& row) { return row.m >= 1024; });
  }

  // The words that stand beside these numbers in the file.
  void describe(const std::vector<Slot>& slots, const Rows& rows, const Scores& scores,
                const std::string& size) {
    std::set<std::string> sources;
    bool is_other_board = false;
    for (const MeasuredKernel* row : rows) {
      if (!row->source.empty()) {
        sources.insert(row->source);
      }
      is_other_board = is_other_board || row->is_other_board;
    }
    std::vector<double> held;
    for (const auto& [row, error] : scores.held) {
      if (size == "all" || row->m >= 1024) {
        held.push_back(error);
      }
    }
    std::string boards = options_.table.gpu_name;
    if (is_other_board) {
      boards = fmt::format("{}, the same chip", fmt::join(options_.table.same_chip, ", "));
    }
    std::string text = fmt::format(
        "{}{}{}{} rows fitted", fmt::join(sources, ", "),
        sources.empty() || boards.empty() ? "" : ", ", boards,
        fmt::format("{}{}", sources.empty() && boards.empty() ? "" : ": ", scores.fitted.size()));
    if (!held.empty()) {
      const Errors errors = errors_of(std::move(held));
      text += fmt::format("; mean error {:.1f} %{} on {} left-out rows", 100 * errors.mean,
                          size == "all" ? "" : " at " + size, errors.rows);
    }
    for (const Slot& slot : slots) {
      words_[slot.key] = {std::move(text), is_other_board ? "transferred" : "fitted"};
      text = words_[slot.key].first;
    }
  }

  // ---- the file ----

  void finish() {
    std::set<std::string> written;
    for (const std::string& table : whole_) {
      erase_key(tree_, table);
    }
    for (const FittedNumber& number : result_.numbers) {
      if (!number.is_written) {
        continue;
      }
      written.insert(number.key);
      write(number);
    }
    for (const std::string& key : free_) {  // forms that did not earn their place
      if (!written.contains(key)) {
        erase_key(tree_, key);
      }
    }
    config::Table note;
    note.push_back({"command", {}, value_of(options_.command)});
    for (const std::string& table : whole_) {
      written.insert(table + ".source");
      written.insert(table + ".basis");
    }
    config::Array keys;
    for (const std::string& key : written) {
      keys.push_back(value_of(key));
    }
    note.push_back({"fitted", {}, value_of(std::move(keys))});
    put_key(tree_, "calibration", value_of(std::move(note)));
    put_key(tree_, "calibration.mean_errors", value_of(residual_table()));
    result_.gpu = parsed(tree_);
    result_.toml = head_comment(tree_) + config::to_toml(tree_);
  }

  void write(const FittedNumber& number) {
    const double value = three_digits(number.estimate.value);
    Value plain = number.unit.empty() ? value_of(value)
                                      : value_of(fmt::format("{:g} {}", value, number.unit));
    const auto& [source, basis] = words_.at(number.key);
    const bool is_unsourced = number.key.ends_with(".k_fill") ||
                              number.key.ends_with(".occupancy") || number.key.ends_with("_tail");
    const std::string table = number.key.substr(0, number.key.rfind('.'));
    if (whole_.contains(table)) {
      if (find_key(tree_, table + ".source") == nullptr) {
        put_key(tree_, table + ".source", value_of(source));
        put_key(tree_, table + ".basis", value_of(basis));
      }
      put_key(tree_, number.key, std::move(plain));
      return;
    }
    put_key(tree_, number.key,
            is_unsourced ? std::move(plain) : sourced_value(std::move(plain), basis, source));
  }

  [[nodiscard]] config::Table residual_table() const {
    config::Table table;
    for (const ErrorLine& line : result_.errors) {
      table.push_back({line.table + ", " + line.size,
                       {},
                       value_of(fmt::format("{:.1f} % of {} fitted rows, {:.1f} % of {} left out",
                                            100 * line.fitted.mean, line.fitted.rows,
                                            100 * line.held.mean, line.held.rows))});
    }
    return table;
  }

  const CalibrateOptions& options_;
  Value tree_;
  std::map<std::string, Rows> by_table_;
  std::set<std::string> whole_;  ///< tables of which the base file has nothing
  std::vector<std::pair<std::string, Value>> earlier_;  ///< fitted before, as the base file has it
  std::set<std::string> free_;                          ///< keys that the base file leaves to us
  std::map<std::string, std::pair<std::string, std::string>> words_;  ///< key -> source, basis
  Gpu gpu_;
  GpuCalibration result_;
};

std::string errors_text(const Errors& errors) {
  return errors.rows == 0 ? std::string("-")
                          : fmt::format("{:5.1f} {:5.1f} {:5.1f}  ({})", 100 * errors.median,
                                        100 * errors.mean, 100 * errors.ninetieth, errors.rows);
}

}  // namespace

Errors errors_of(std::vector<double> errors) {
  if (errors.empty()) {
    return {};
  }
  std::sort(errors.begin(), errors.end());
  const auto at = [&](double share) {
    return errors[static_cast<std::size_t>(
        std::lround(share * static_cast<double>(errors.size() - 1)))];
  };
  double sum = 0;
  for (const double error : errors) {
    sum += error;
  }
  return {errors.size(), at(0.5), sum / static_cast<double>(errors.size()), at(0.9)};
}

GpuCalibration calibrate_gpu(const KernelTable& table, const Value& base,
                             const CalibrateOptions& options) {
  return GpuCalibrator(table, base, options).run();
}

std::string text_of(const GpuCalibration& calibration) {
  std::string text = fmt::format("{}\n\n{:<42} {:>9}  {:<12} {}\n", calibration.gpu.name,
                                 "parameter", "value", "95 % within", "");
  for (const FittedNumber& number : calibration.numbers) {
    text += fmt::format("{:<42} {:>9.4g}  +- {:<9.2g} {}{}\n", number.key, number.estimate.value,
                        number.estimate.half_width, number.unit,
                        number.is_written ? "" : "  (the base file's own number stands)");
  }
  text += fmt::format(
      "\n|predicted / measured - 1| in %: median, mean, 90th percentile (rows)\n"
      "{:<36} {:<28} {}\n",
      "", "fitted", "left out");
  for (const ErrorLine& line : calibration.errors) {
    text += fmt::format("{:<36} {:<28} {}\n", line.table + ", " + line.size,
                        errors_text(line.fitted), errors_text(line.held));
  }
  if (!calibration.rejected.empty()) {
    text += "\nrows rejected\n";
  }
  for (const auto& [reason, count] : calibration.rejected) {
    text += fmt::format("{:>6}  {}\n", count, reason);
  }
  return text;
}

}  // namespace foretrain::validation
