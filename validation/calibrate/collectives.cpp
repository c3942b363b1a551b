// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/collectives.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/config/quantity.hpp"
#include "sim/config/reader.hpp"
#include "sim/core/error.hpp"
#include "strategies/collective/nccl.hpp"
#include "validation/calibrate/tree.hpp"

namespace foretrain::validation {
namespace {

using config::Value;

[[noreturn]] void fail(std::string message) {
  Diagnostic diagnostic;
  diagnostic.message = std::move(message);
  throw ConfigError({diagnostic});
}

// ---- predictions ----

// The first GPUs of as many nodes as the row has.
CollectiveRequest request_of(const MeasuredCollective& row, const Cluster& cluster) {
  CollectiveRequest request;
  request.kind = row.kind;
  request.payload = row.payload;
  request.devices.reserve(static_cast<std::size_t>(row.gpus));
  for (std::int64_t node = 0; node < row.nodes; ++node) {
    for (std::int64_t gpu = 0; gpu < row.gpus_per_node(); ++gpu) {
      request.devices.emplace_back(static_cast<std::size_t>(node * cluster.gpus_per_node + gpu));
    }
  }
  return request;
}

void check_group(const MeasuredCollective& row, const Cluster& cluster) {
  if (row.gpus_per_node() > cluster.gpus_per_node) {
    fail(fmt::format("line {}: {} GPUs on {} nodes, but '{}' has {} per node", row.line, row.gpus,
                     row.nodes, cluster.name, cluster.gpus_per_node));
  }
  if (row.nodes > 1 && row.nodes % cluster.node_unit() != 0) {
    fail(fmt::format("line {}: {} nodes, but '{}' comes in units of {}", row.line, row.nodes,
                     cluster.name, cluster.node_unit()));
  }
}

CollectiveChoice chosen_for(const MeasuredCollective& row, const Machine& machine) {
  const CollectiveRequest request = request_of(row, machine.cluster());
  if (row.algorithm.empty()) {
    return choose(request, machine);
  }
  const CollectiveAlgorithm& algorithm = collective_algorithm(row.algorithm);
  if (const auto reason = why_not(algorithm, request, machine)) {
    fail(
        fmt::format("line {}: '{}' cannot serve this group: {}", row.line, row.algorithm, *reason));
  }
  return choose_protocol(algorithm, request, machine);
}

/// Machines of one cluster by their number of nodes, built when first asked for.
class Machines {
 public:
  explicit Machines(const Cluster& cluster) : cluster_(cluster) {}

  const Machine& with(std::int64_t nodes) {
    const std::int64_t unit = cluster_.node_unit();
    const std::int64_t whole = (nodes + unit - 1) / unit * unit;
    auto& machine = machines_[whole];
    if (!machine) {
      machine = build_machine(cluster_, static_cast<std::size_t>(whole));
    }
    return *machine;
  }

 private:
  const Cluster& cluster_;
  std::map<std::int64_t, std::unique_ptr<Machine>> machines_;
};

// ---- numbers to fit ----

/// One number: how it is searched for, and how it is put into a cluster.
struct Number {
  std::string key;  ///< within [node] or [fabric]
  Bounded range;
  void (*set)(Interconnect& way, double x) = nullptr;
  std::string (*show)(double x) = nullptr;
};

double rounded(double value) {
  if (value == 0) {
    return 0;
  }
  const double unit = std::pow(10, std::floor(std::log10(std::abs(value))) - 2);
  return std::round(value / unit) * unit;
}

std::string plain(double x) { return fmt::format("{:g}", rounded(x)); }

template <class T>
Sourced<T> number(T value) {
  return {value, "a fit under way", config::Basis::fitted};
}

// half_rate_payload is searched for by its square root, in which the times are nearly linear.
constexpr double kMiB = 1024.0 * 1024.0;
Bytes half_payload(double x) { return Bytes(std::max(1.0, x * x * kMiB)); }

const std::array<Number, 5>& all_numbers() {
  static const std::array<Number, 5> kNumbers = {{
      {"achieved",
       {0.8, 0.05, 1.0},
       [](Interconnect& way, double x) { way.achieved = number(x); },
       plain},
      {"collective_latency",
       {10, 0, 2000},
       [](Interconnect& way, double x) { way.collective_latency = number(Seconds(x * 1e-6)); },
       [](double x) { return fmt::format("{:g} us", std::round(x * 10) / 10); }},
      {"latency_multiplier",
       {1, 0.05, 20},
       [](Interconnect& way, double x) {
         way.latency_multiplier = number(x);
         way.hop_latency.reset();
         way.node_hop_latency.reset();
       },
       plain},
      {"half_rate_payload",
       {2, 0, 30},
       [](Interconnect& way, double x) { way.half_rate_payload = number(half_payload(x)); },
       [](double x) { return fmt::format("{:g} MiB", rounded(std::max(0.001, x * x))); }},
      {"in_switch_reduction",
       {0.6, 0.05, 1.0},
       [](Interconnect& way, double x) { way.in_switch_reduction = number(x); },
       plain},
  }};
  return kNumbers;
}

std::optional<double> value_in(const Interconnect& way, const std::string& key) {
  if (key == "achieved") {
    return way.achieved.value;
  }
  if (key == "in_switch_reduction" && way.in_switch_reduction) {
    return way.in_switch_reduction->value;
  }
  return std::nullopt;
}

/// Rows of the same collective count as one, with their median time.
std::vector<MeasuredCollective> merged(const std::vector<MeasuredCollective>& rows) {
  using Key =
      std::tuple<CollectiveKind, std::string, std::string, std::int64_t, std::int64_t, double>;
  std::map<Key, std::vector<MeasuredCollective>> groups;
  for (const MeasuredCollective& row : rows) {
    groups[{row.kind, row.source, row.algorithm, row.gpus, row.nodes, row.payload.value}].push_back(
        row);
  }
  std::vector<MeasuredCollective> result;
  result.reserve(groups.size());
  for (auto& [key, group] : groups) {
    std::sort(
        group.begin(), group.end(),
        [](const MeasuredCollective& a, const MeasuredCollective& b) { return a.time < b.time; });
    result.push_back(group[(group.size() - 1) / 2]);
  }
  return result;
}

/// Fits one table of the cluster.
class TableFit {
 public:
  TableFit(Cluster cluster, bool is_fabric, const std::vector<MeasuredCollective>& rows,
           const std::vector<std::string>& keep)
      : cluster_(std::move(cluster)), is_fabric_(is_fabric), rows_(merged(rows)) {
    const bool uses_switch = std::any_of(rows_.begin(), rows_.end(),
                                         [](const auto& row) { return row.algorithm == "nvls"; });
    for (const Number& each : all_numbers()) {
      const bool is_switch = each.key == "in_switch_reduction";
      const bool is_kept = std::find(keep.begin(), keep.end(), dotted(each.key)) != keep.end();
      if (!is_kept && (!is_switch || (!is_fabric_ && uses_switch))) {
        numbers_.push_back(each);
      }
    }
  }

  std::vector<FittedKey> run() {
    if (numbers_.empty()) {
      return {};
    }
    std::optional<RobustFit> best;
    for (const double half : {1.0, 4.0}) {
      for (const double multiplier : {0.5, 2.0}) {
        RobustFit fit = fit_from(half, multiplier);
        if (!best || fit.cost < best->cost) {
          best = std::move(fit);
        }
      }
    }
    std::vector<FittedKey> keys;
    keys.reserve(numbers_.size());
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      const Estimate& estimate = best->parameters[i];
      keys.push_back({dotted(numbers_[i].key), numbers_[i].show(estimate.value), estimate});
    }
    return keys;
  }

 private:
  [[nodiscard]] std::string dotted(const std::string& key) const {
    return (is_fabric_ ? "fabric." : "node.") + key;
  }

  // Where the weight of an error begins to grow slower than its square: 10 %.
  static constexpr double kScale = 0.1 / 1.345;
  // The weight of NCCL's own table: one row that is right to a factor of e at that scale.
  static constexpr double kTableWeight = 0.1;

  RobustFit fit_from(double half, double multiplier) {
    std::vector<Bounded> ranges;
    ranges.reserve(numbers_.size());
    const Interconnect& base = is_fabric_ ? cluster_.fabric : cluster_.node;
    for (const Number& each : numbers_) {
      Bounded range = each.range;
      if (const auto value = value_in(base, each.key)) {
        range.start = *value;
      } else if (each.key == "half_rate_payload") {
        range.start = half;
      } else if (each.key == "latency_multiplier") {
        range.start = multiplier;
      }
      ranges.push_back(range);
    }
    return robust_fit(
        ranges, [this](const std::vector<double>& values) { return residuals(values); }, kScale);
  }

  std::vector<double> residuals(const std::vector<double>& values) {
    Interconnect& way = is_fabric_ ? cluster_.fabric : cluster_.node;
    double of_table = 0;
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      numbers_[i].set(way, values[i]);
      if (numbers_[i].key == "latency_multiplier") {
        of_table = kTableWeight * std::log(values[i]);
      }
    }
    Machines machines(cluster_);
    std::vector<double> all;
    all.reserve(rows_.size() + 1);
    for (const MeasuredCollective& row : rows_) {
      all.push_back(std::log(chosen_for(row, machines.with(row.nodes)).time / row.time));
    }
    all.push_back(of_table);
    return all;
  }

  Cluster cluster_;
  bool is_fabric_;
  std::vector<MeasuredCollective> rows_;
  std::vector<Number> numbers_;
};

// ---- the file ----

std::string sources_of(const std::vector<MeasuredCollective>& rows) {
  std::set<std::string> sources;
  std::set<std::string> kinds;
  std::set<std::int64_t> gpus;
  for (const MeasuredCollective& row : rows) {
    if (!row.source.empty()) {
      sources.insert(row.source);
    }
    kinds.emplace(name_of(row.kind));
    gpus.insert(row.gpus);
  }
  return fmt::format("{}{}{} on {} GPUs, {} rows", fmt::join(sources, ", "),
                     sources.empty() ? "" : ": ", fmt::join(kinds, ", "), fmt::join(gpus, ", "),
                     rows.size());
}

// A share is a number in the file; times and sizes are text.
Value value_for(const FittedKey& key) {
  const bool is_number = key.value.find(' ') == std::string::npos;
  return is_number ? value_of(std::stod(key.value)) : value_of(key.value);
}

std::string group_text(const CollectiveCurve& curve) {
  return fmt::format("{} {} GPUs{}", name_of(curve.kind), curve.gpus,
                     curve.nodes == 1 ? "" : fmt::format(" on {} nodes", curve.nodes));
}

std::string error_text(double error, std::size_t rows) {
  return rows == 0 ? std::string("-") : fmt::format("{:.1f} % of {} rows", 100 * error, rows);
}

config::Table error_table(const std::vector<CollectiveCurve>& curves) {
  config::Table table;
  for (const CollectiveCurve& curve : curves) {
    table.push_back({fmt::format("{}, {}", curve.source, group_text(curve)),
                     {},
                     value_of(fmt::format("{} below 8 MiB, {} from there on",
                                          error_text(curve.small, curve.num_small),
                                          error_text(curve.large, curve.num_large)))});
  }
  return table;
}

class CollectiveCalibrator {
 public:
  CollectiveCalibrator(const Value& base, const LoadCluster& load,
                       const CalibrateCollectivesOptions& options)
      : tree_(base), load_(load), options_(options) {}

  CollectiveCalibration run(CollectiveTable table) {
    reject_erratic(table);
    result_.rejected = table.rejected;
    if (table.rows.empty()) {
      fail("no measurement is left to fit: all contradict one another");
    }
    result_.cluster = load_(tree_);
    for (const MeasuredCollective& row : table.rows) {
      check_group(row, result_.cluster);
    }
    fit(table, false);
    fit(table, true);
    result_.toml = head_comment(tree_) + config::to_toml(tree_);
    return std::move(result_);
  }

 private:
  void fit(const CollectiveTable& table, bool is_fabric) {
    std::vector<MeasuredCollective> rows;
    std::copy_if(table.rows.begin(), table.rows.end(), std::back_inserter(rows),
                 [&](const MeasuredCollective& row) { return (row.nodes > 1) == is_fabric; });
    if (rows.empty()) {
      return;
    }
    const std::string part = is_fabric ? "fabric" : "node";
    const std::string words = sources_of(rows);
    for (const FittedKey& key : TableFit(result_.cluster, is_fabric, rows, options_.keep).run()) {
      put_key(tree_, key.key, sourced_value(value_for(key), "fitted", words));
      result_.keys.push_back(key);
    }
    erase_key(tree_, part + ".hop_latency");
    erase_key(tree_, part + ".node_hop_latency");
    result_.cluster = load_(tree_);
    const std::vector<CollectivePoint> points = predict(rows, result_.cluster);
    put_key(tree_, "calibration." + part + ".command", value_of(options_.command));
    put_key(tree_, "calibration." + part + ".mean_errors",
            value_of(error_table(curves_of(points))));
    result_.points.insert(result_.points.end(), points.begin(), points.end());
  }

  Value tree_;
  const LoadCluster& load_;
  const CalibrateCollectivesOptions& options_;
  CollectiveCalibration result_;
};

}  // namespace

std::vector<CollectivePoint> predict(const std::vector<MeasuredCollective>& rows,
                                     const Cluster& cluster) {
  Machines machines(cluster);
  std::vector<CollectivePoint> points;
  points.reserve(rows.size());
  for (const MeasuredCollective& row : rows) {
    check_group(row, cluster);
    const CollectiveChoice choice = chosen_for(row, machines.with(row.nodes));
    points.push_back(
        {row, fmt::format("{} {}", choice.algorithm->name, name_of(choice.protocol)), choice.time});
  }
  return points;
}

std::vector<CollectiveCurve> curves_of(const std::vector<CollectivePoint>& points) {
  using Key = std::tuple<std::string, CollectiveKind, std::int64_t, std::int64_t>;
  std::map<Key, CollectiveCurve> curves;
  for (const CollectivePoint& point : points) {
    const MeasuredCollective& row = point.measured;
    CollectiveCurve& curve = curves[{row.source, row.kind, row.nodes, row.gpus}];
    curve.source = row.source;
    curve.kind = row.kind;
    curve.gpus = row.gpus;
    curve.nodes = row.nodes;
    const bool is_large = row.payload >= kLargePayload;
    (is_large ? curve.large : curve.small) += std::abs(point.error());
    ++(is_large ? curve.num_large : curve.num_small);
  }
  std::vector<CollectiveCurve> result;
  result.reserve(curves.size());
  for (auto& [key, curve] : curves) {
    curve.small /= static_cast<double>(std::max<std::size_t>(1, curve.num_small));
    curve.large /= static_cast<double>(std::max<std::size_t>(1, curve.num_large));
    result.push_back(std::move(curve));
  }
  return result;
}

CollectiveCalibration calibrate_collectives(CollectiveTable table, const Value& base,
                                            const LoadCluster& load,
                                            const CalibrateCollectivesOptions& options) {
  return CollectiveCalibrator(base, load, options).run(std::move(table));
}

std::string curve_table(const std::vector<CollectiveCurve>& curves) {
  std::string text = fmt::format("{:<44} {:<36} {:>20} {:>20}\n", "mean |predicted / measured - 1|",
                                 "", fmt::format("< 8 MiB (<= {:g} %)", 100 * kSmallTarget),
                                 fmt::format(">= 8 MiB (<= {:g} %)", 100 * kLargeTarget));
  const auto cell = [](double error, std::size_t rows, double target) {
    return rows == 0
               ? std::string("-")
               : fmt::format("{:.1f} % of {}{}", 100 * error, rows, error <= target ? "" : " over");
  };
  for (const CollectiveCurve& curve : curves) {
    text += fmt::format("{:<44} {:<36} {:>20} {:>20}\n", curve.source, group_text(curve),
                        cell(curve.small, curve.num_small, kSmallTarget),
                        cell(curve.large, curve.num_large, kLargeTarget));
  }
  return text;
}

std::string text_of(const CollectiveCalibration& calibration) {
  std::string text = fmt::format("{}\n\n", calibration.cluster.name);
  for (const FittedKey& key : calibration.keys) {
    text += fmt::format("{:<32} {:>12}\n", key.key, key.value);
  }
  text += fmt::format("\n{:<16} {:>6} {:>6} {:>12} {:>12} {:>12} {:>8}  {}\n", "", "GPUs", "nodes",
                      "payload", "measured", "predicted", "error", "algorithm");
  for (const CollectivePoint& point : calibration.points) {
    const MeasuredCollective& row = point.measured;
    text +=
        fmt::format("{:<16} {:>6} {:>6} {:>12} {:>12} {:>12} {:>+7.1f}%  {}\n", name_of(row.kind),
                    row.gpus, row.nodes, config::show(row.payload), config::show(row.time),
                    config::show(point.predicted), 100 * point.error(), point.algorithm);
  }
  text += '\n' + curve_table(curves_of(calibration.points));
  if (!calibration.rejected.empty()) {
    text += "\nrows rejected\n";
  }
  for (const auto& [reason, count] : calibration.rejected) {
    text += fmt::format("{:>6}  {}\n", count, reason);
  }
  return text;
}

}  // namespace foretrain::validation
