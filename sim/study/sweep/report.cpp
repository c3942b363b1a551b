// The table of a sweep as text, JSON and CSV.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "sim/core/csv.hpp"
#include "sim/study/sweep/grid.hpp"
#include "sim/study/sweep/result.hpp"
#include "sim/study/sweep/values.hpp"

namespace foretrain::sweep {
namespace {

using Json = nlohmann::ordered_json;

// Null unless predicted.
Json result_of(const Row& row) {
  return row.status == Status::predicted ? Json::parse(row.result) : Json(nullptr);
}

// Larger is better.
double merit(const Json& result, Measure by) {
  switch (by) {
    case Measure::step_time:
      return -result.at("step_time_s").get<double>();
    case Measure::tokens_per_s:
      return result.at("tokens_per_s");
    case Measure::tokens_per_s_per_gpu:
      return result.at("tokens_per_s_per_gpu");
    case Measure::mfu:
      return result.at("mfu");
  }
  return 0;
}

// In the order of the points or, when the best are asked for, of merit; the sweep's on a tie.
std::vector<Row> select(const Journal& journal, const Selection& selection) {
  std::vector<std::pair<double, Row>> rows;
  journal.for_each([&](const Row& row) {
    if (!selection.best) {
      rows.emplace_back(0, row);
      return;
    }
    const Json result = result_of(row);
    if (!result.is_null() && result.at("fits") == true) {
      rows.emplace_back(merit(result, selection.by), row);
    }
  });
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Row> selected;
  const std::uint64_t most = selection.best.value_or(rows.size());
  selected.reserve(std::min<std::uint64_t>(most, rows.size()));
  for (auto& [ignored, row] : rows) {
    if (selected.size() < most) {
      selected.push_back(std::move(row));
    }
  }
  return selected;
}

// A varied value without the quotes that TOML wants.
std::string plain(const std::string& value) {
  const bool is_quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"' &&
                         value.find('\\') == std::string::npos;
  return is_quoted ? value.substr(1, value.size() - 2) : value;
}

// Parts of the step in a constant order: the axes of communication between the constant ones.
std::vector<std::string> parts_of(const std::vector<Row>& rows) {
  std::set<std::string> exposed;
  bool has_compression = false;
  for (const Row& row : rows) {
    const Json result = result_of(row);
    if (result.is_null()) {
      continue;
    }
    for (const auto& [name, seconds] : result.at("breakdown_s").items()) {
      if (name.starts_with("exposed_")) {
        exposed.insert(name);
      }
      has_compression = has_compression || name == "compression";
    }
  }
  std::vector<std::string> parts = {"compute", "recompute"};
  parts.insert(parts.end(), exposed.begin(), exposed.end());
  if (has_compression) {
    parts.emplace_back("compression");
  }
  parts.insert(parts.end(), {"bubble", "optimizer", "host"});
  return parts;
}

constexpr std::array<std::string_view, 11> kResults = {"gpus",
                                                       "step_time_s",
                                                       "tokens_per_s",
                                                       "tokens_per_s_per_gpu",
                                                       "mfu",
                                                       "hfu",
                                                       "model_tflops_per_gpu",
                                                       "peak_memory_bytes",
                                                       "memory_capacity_bytes",
                                                       "fits",
                                                       "training_time_s"};

std::string cell_of(const Json& result, std::string_view name) {
  const auto cell = result.find(name);
  if (cell == result.end()) {
    return "";
  }
  if (cell->is_boolean()) {
    return cell->get<bool>() ? "1" : "0";
  }
  return cell->is_number_float() ? fmt::format("{}", cell->get<double>()) : cell->dump();
}

std::string csv_row(const Row& row, const std::vector<Assignment>& assignments,
                    const std::vector<std::string>& parts) {
  std::string text;
  for (const Assignment& assignment : assignments) {
    text += csv_cell(plain(assignment.value)) + ",";
  }
  text += name_of(row.status);
  const Json result = result_of(row);
  for (const std::string_view name : kResults) {
    text += "," + (result.is_null() ? "" : cell_of(result, name));
  }
  for (const std::string& part : parts) {
    const std::string cell =
        result.is_null() ? std::string() : cell_of(result.at("breakdown_s"), part);
    text += "," + (cell.empty() && !result.is_null() ? "0" : cell);
  }
  return text + "," + csv_cell(row.reason) + "\n";
}

// The last segment of each key, or all of it where that would be ambiguous.
std::vector<std::string> short_names(const std::vector<std::string>& keys) {
  const auto last = [](const std::string& key) { return key.substr(key.rfind('.') + 1); };
  std::vector<std::string> names;
  for (const std::string& key : keys) {
    const auto same = std::count_if(keys.begin(), keys.end(), [&](const std::string& other) {
      return last(other) == last(key);
    });
    names.push_back(same > 1 ? key : last(key));
  }
  return names;
}

class TextTable {
 public:
  explicit TextTable(const Grid& grid) : grid_(grid), names_(short_names(grid.keys())) {
    for (const std::string& name : names_) {
      widths_.push_back(name.size());
    }
    std::size_t k = 0;
    for (const Axis& axis : grid.axes()) {
      for (const std::vector<std::string>& values : axis.values) {
        for (const std::string& value : values) {
          widths_[k] = std::max(widths_[k], plain(value).size());
        }
        ++k;
      }
    }
  }

  [[nodiscard]] std::string heading() const {
    return cells(names_) + fmt::format("{:>6} {:>10} {:>13} {:>6} {:>8}\n", "GPUs", "step_s",
                                       "tokens/s/GPU", "MFU %", "peak_GB");
  }

  [[nodiscard]] std::string line(const Row& row) const {
    std::vector<std::string> values;
    for (const Assignment& assignment : grid_.point(row.point)) {
      values.push_back(plain(assignment.value));
    }
    const Json result = result_of(row);
    if (result.is_null()) {
      return cells(values) + fmt::format("{}: {}\n", name_of(row.status), row.reason);
    }
    const auto number = [&](const char* name) { return result.value(name, 0.0); };
    return cells(values) +
           fmt::format("{:>6} {:>10.4f} {:>13.1f} {:>6.1f} {:>8.2f}{}\n",
                       result.at("gpus").get<std::int64_t>(), number("step_time_s"),
                       number("tokens_per_s_per_gpu"), 100 * number("mfu"),
                       number("peak_memory_bytes") * 1e-9,
                       result.at("fits") == true ? "" : "   does not fit in memory");
  }

 private:
  [[nodiscard]] std::string cells(const std::vector<std::string>& values) const {
    std::string text;
    for (std::size_t k = 0; k < values.size(); ++k) {
      text += fmt::format("{:>{}}  ", values[k], widths_[k]);
    }
    return text;
  }

  const Grid& grid_;
  std::vector<std::string> names_;
  std::vector<std::size_t> widths_;
};

}  // namespace

std::string sweep_text(const Journal& journal, const Selection& selection) {
  const Grid grid = grid_from_json(journal.identity().grid);
  const TextTable table(grid);
  std::string text = table.heading();
  for (const Row& row : select(journal, selection)) {
    text += table.line(row);
  }
  const Counts counts = journal.counts();
  text += fmt::format("{} of {} points: {} predicted, {} refused, {} crashed\n", counts.all(),
                      grid.size(), counts.predicted, counts.refused, counts.crashed);
  return text;
}

std::string sweep_json(const Journal& journal, const Selection& selection) {
  const Grid grid = grid_from_json(journal.identity().grid);
  const Counts counts = journal.counts();
  Json json = {{"run", journal.identity().run}, {"version", journal.identity().version},
               {"total", grid.size()},          {"predicted", counts.predicted},
               {"refused", counts.refused},     {"crashed", counts.crashed},
               {"points", Json::array()}};
  for (const Row& row : select(journal, selection)) {
    Json out = {{"set", Json::object()}, {"status", name_of(row.status)}};
    for (const Assignment& assignment : grid.point(row.point)) {
      out["set"][assignment.key] = typed(plain(assignment.value));
    }
    out["config_hash"] = row.config_hash;
    if (const Json result = result_of(row); result.is_null()) {
      out["reason"] = row.reason;
    } else {
      out.update(result);
    }
    json["points"].push_back(std::move(out));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string sweep_csv(const Journal& journal, const Selection& selection) {
  const Grid grid = grid_from_json(journal.identity().grid);
  const std::vector<Row> rows = select(journal, selection);
  const std::vector<std::string> parts = parts_of(rows);
  std::string text;
  for (const std::string& key : grid.keys()) {
    text += csv_cell(key) + ",";
  }
  text += "status";
  for (const std::string_view name : kResults) {
    text += "," + std::string(name);
  }
  for (const std::string& part : parts) {
    text += "," + part + "_s";
  }
  text += ",reason\n";
  for (const Row& row : rows) {
    text += csv_row(row, grid.point(row.point), parts);
  }
  return text;
}

}  // namespace foretrain::sweep
