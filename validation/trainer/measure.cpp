// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/measure.hpp"

#include <algorithm>
#include <map>
#include <ostream>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace foretrain::trainer {
namespace {

using config::Entry;
using config::Table;
using config::Value;

void set(Table& table, std::string key, decltype(Value::data) data) {
  std::erase_if(table, [&](const Entry& entry) { return entry.key == key; });
  table.push_back({std::move(key), {}, Value{{}, std::move(data)}});
}

std::string time_text(double seconds) { return fmt::format("{:.6g} ms", seconds * 1e3); }

// Kernels and collectives of one step by name, the longest first.
config::Array spans_by_name(const Measurement& measurement) {
  struct Sum {
    std::int64_t count = 0;
    double time_s = 0;
  };
  std::map<std::pair<int, std::string>, Sum> sums;
  for (const Span& span : measurement.spans) {
    Sum& sum = sums[{span.stream, span.name}];
    ++sum.count;
    sum.time_s += span.end_s - span.start_s;
  }
  std::vector<std::tuple<double, int, std::string>> order;
  order.reserve(sums.size());
  for (const auto& [key, sum] : sums) {
    order.emplace_back(-sum.time_s, key.first, key.second);
  }
  std::sort(order.begin(), order.end());
  config::Array rows;
  rows.reserve(order.size());
  for (const auto& [time, stream, name] : order) {
    Table row;
    set(row, "name", name);
    set(row, "stream", measurement.stream_names.at(static_cast<std::size_t>(stream)));
    set(row, "count", sums[{stream, name}].count);
    set(row, "time", time_text(-time));
    rows.push_back({{}, std::move(row)});
  }
  return rows;
}

Table record_of(const Measurement& measurement, const std::string& date) {
  const auto& times = measurement.step_times_s;
  Table record;
  set(record, "hardware", measurement.hardware);
  set(record, "communication", measurement.communication);
  Table versions;
  for (const auto& [what, version] : measurement.versions) {
    set(versions, what, version);
  }
  set(record, "date", date);
  set(record, "ranks", measurement.ranks);
  set(record, "warm_up", measurement.warm_up);
  set(record, "repeats", static_cast<std::int64_t>(times.size()));
  set(record, "fastest", time_text(*std::min_element(times.begin(), times.end())));
  set(record, "slowest", time_text(*std::max_element(times.begin(), times.end())));
  if (measurement.used_bytes > 0) {
    set(record, "device_memory", fmt::format("{} B", measurement.used_bytes));
  }
  set(record, "first_loss", measurement.first_loss);
  set(record, "last_loss", measurement.last_loss);
  set(record, "versions", std::move(versions));
  if (!measurement.spans.empty()) {
    set(record, "spans", spans_by_name(measurement));
  }
  return record;
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string measurement_toml(config::Value run, const Measurement& measurement,
                             const std::string& date) {
  Table measured;
  set(measured, "step_time", time_text(median(measurement.step_times_s)));
  if (measurement.peak_bytes > 0) {
    set(measured, "peak_memory", fmt::format("{} B", measurement.peak_bytes));
    set(measured, "memory_kind", std::string("allocator"));
  }
  set(measured, "source", fmt::format("foretrain's trainer on {}, {}", measurement.hardware, date));
  set(measured, "group", std::string("foretrain-trainer"));
  set(measured, "quality", std::string("A"));
  set(measured, "record", record_of(measurement, date));
  set(*run.table(), "measured", std::move(measured));
  return config::to_toml(run);
}

void write_trace(std::ostream& out, const std::vector<Span>& spans,
                 const std::vector<std::string>& stream_names, int rank) {
  const auto text = [](const std::string& value) { return nlohmann::json(value).dump(); };
  out << R"({"displayTimeUnit":"ms","traceEvents":[)";
  out << fmt::format(R"({{"ph":"M","pid":{},"name":"process_name","args":{{"name":"measured"}}}})",
                     rank);
  for (std::size_t i = 0; i < stream_names.size(); ++i) {
    out << fmt::format(
        ",\n"
        R"({{"ph":"M","pid":{},"tid":{},"name":"thread_name","args":{{"name":{}}}}})",
        rank, i, text(fmt::format("rank {} {}", rank, stream_names[i])));
  }
  for (const Span& span : spans) {
    out << fmt::format(
        ",\n"
        R"({{"ph":"X","pid":{},"tid":{},"name":{},"ts":{:.3f},"dur":{:.3f}}})",
        rank, span.stream, text(span.name), span.start_s * 1e6, (span.end_s - span.start_s) * 1e6);
  }
  out << "\n]}\n";
}

}  // namespace foretrain::trainer
