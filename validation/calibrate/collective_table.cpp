// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/collective_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "sim/config/reader.hpp"
#include "sim/core/suggest.hpp"
#include "strategies/collective/collective.hpp"
#include "validation/calibrate/nccl_tests.hpp"
#include "validation/csv.hpp"

namespace foretrain::validation {
namespace {

// ---- CSV ----

CollectiveKind kind_in(const CsvRow& row) {
  const std::string& text = row.text("collective");
  const auto kind = kind_named(text);
  if (!kind) {
    throw Rejected{text.empty() ? "no collective" : "collective '" + text + "' is none of ours"};
  }
  return *kind;
}

// "Ring", "Ring (NCCL_NVLS_ENABLE=0)", "NVLSTree": the first word, as NCCL spells it.
std::string algorithm_in(const CsvRow& row) {
  const std::string& text = row.text("algorithm");
  const std::string word = text.substr(0, text.find(' '));
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kNames = {
      {{"", ""},
       {"Ring", "ring"},
       {"Tree", "tree"},
       {"NVLS", "nvls"},
       {"NVLSTree", "nvls-tree"},
       {"PAT", "pat"}}};
  for (const auto& [theirs, ours] : kNames) {
    if (word == theirs) {
      return std::string(ours);
    }
  }
  throw Rejected{"algorithm '" + text + "' is none of ours"};
}

Seconds time_in(const CsvRow& row, const MeasuredCollective& measured) {
  const double factor = bus_factor(measured.kind, static_cast<std::size_t>(measured.gpus));
  double seconds = row.number("measured_time_us").value_or(0) * 1e-6;
  if (const double rate = row.number("measured_algbw_GBps").value_or(0); seconds <= 0 && rate > 0) {
    seconds = measured.payload.value / (rate * 1e9);
  }
  if (const double rate = row.number("measured_busbw_GBps").value_or(0); seconds <= 0 && rate > 0) {
    seconds = measured.payload.value * factor / (rate * 1e9);
  }
  if (seconds <= 0) {
    throw Rejected{"no time"};
  }
  return Seconds(seconds);
}

MeasuredCollective measured_in(const CsvRow& row) {
  MeasuredCollective measured;
  measured.kind = kind_in(row);
  measured.algorithm = algorithm_in(row);
  const double bytes = row.number("message_bytes").value_or(0);
  measured.gpus = row.count("num_gpus", {0, 10'000'000}).value_or(0);
  measured.nodes = row.count("num_nodes", {0, 1'000'000}).value_or(0);
  if (bytes <= 0 || measured.gpus < 2 || measured.nodes < 1) {
    throw Rejected{"no payload, or no group of two or more GPUs on known nodes"};
  }
  if (measured.gpus % measured.nodes != 0) {
    throw Rejected{"not as many GPUs on each node"};
  }
  measured.payload = Bytes(bytes);
  measured.time = time_in(row, measured);
  measured.source = row.text("source_repo");
  measured.line = row.line();
  return measured;
}

bool is_wanted(const CsvRow& row, const CollectiveTableOptions& options) {
  return std::all_of(options.where.begin(), options.where.end(), [&](const auto& condition) {
    return std::any_of(options.where.begin(), options.where.end(), [&](const auto& other) {
      return other.first == condition.first && row.text(other.first) == other.second;
    });
  });
}

void check_columns(const CsvTable& table, const CollectiveTableOptions& options,
                   config::Diagnostics& diagnostics) {
  constexpr std::array<std::string_view, 4> kNeeded = {"collective", "message_bytes", "num_gpus",
                                                       "num_nodes"};
  table.require(kNeeded, diagnostics);
  std::vector<std::string_view> asked;
  asked.reserve(options.where.size());
  for (const auto& [column, text] : options.where) {
    asked.push_back(column);
  }
  table.require(asked, diagnostics);
  diagnostics.throw_if_any();
}

CollectiveTable parse_csv(config::Sources& sources, std::string name, std::string text,
                          const CollectiveTableOptions& options) {
  const CsvTable csv = CsvTable::parse(sources, std::move(name), std::move(text));
  config::Diagnostics diagnostics;
  check_columns(csv, options, diagnostics);
  CollectiveTable table;
  for (std::size_t i = 0; i < csv.size(); ++i) {
    const CsvRow row = csv.row(i, diagnostics);
    if (!is_wanted(row, options)) {
      continue;
    }
    try {
      MeasuredCollective measured = measured_in(row);
      const bool is_other = (options.kind && measured.kind != *options.kind) ||
                            (options.gpus != 0 && measured.gpus != options.gpus);
      if (!is_other) {
        table.rows.push_back(std::move(measured));
      }
    } catch (const Rejected& rejected) {
      ++table.rejected[rejected.reason];
    }
  }
  if (table.rows.empty()) {
    diagnostics.add(csv.position(), "", "no row of the table can be used");
  }
  diagnostics.throw_if_any();
  return table;
}

// ---- rows that others contradict ----

constexpr double kTolerance = 1.1;

bool is_comparable(const MeasuredCollective& a, const MeasuredCollective& b) {
  return a.kind == b.kind && a.source == b.source && a.algorithm == b.algorithm;
}

// Why `other` makes `row` implausible; nothing when it does not.
std::string_view contradiction(const MeasuredCollective& row, const MeasuredCollective& other) {
  if (!is_comparable(row, other) || other.gpus < row.gpus || other.nodes < row.nodes) {
    return "";
  }
  if (other.payload >= row.payload && other.time * kTolerance < row.time) {
    return "erratic: a payload at least as large, on as many GPUs or more, was quicker";
  }
  if (row.payload >= kLargePayload && other.payload >= row.payload * 2 &&
      other.time < row.time * kTolerance) {
    return "erratic: twice the payload took hardly longer";
  }
  return "";
}

/// Rows of one group size on one side of kLargePayload.
using Part = std::tuple<CollectiveKind, std::string, std::string, std::int64_t, std::int64_t, bool>;
Part part_of(const MeasuredCollective& row) {
  return {row.kind, row.source, row.algorithm, row.gpus, row.nodes, row.payload >= kLargePayload};
}

}  // namespace

std::optional<CollectiveKind> kind_named(std::string_view name) {
  for (const CollectiveKind kind : kCollectiveKinds) {
    if (name_of(kind) == name) {
      return kind;
    }
  }
  return std::nullopt;
}

namespace {

CollectiveTable parse_any(config::Sources& sources, std::string name, std::string text,
                          const CollectiveTableOptions& options) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_json = first != std::string::npos && text[first] == '{';
  if (is_json) {
    return parse_nccl_tests_json(sources, std::move(name), std::move(text), options);
  }
  const std::string_view header = std::string_view(text).substr(0, text.find('\n'));
  if (header.find("message_bytes") != std::string_view::npos ||
      std::count(header.begin(), header.end(), ',') >= 3) {
    return parse_csv(sources, std::move(name), std::move(text), options);
  }
  return parse_nccl_tests_text(sources, std::move(name), std::move(text), options);
}

}  // namespace

CollectiveTable parse_collectives(config::Sources& sources, std::string name, std::string text,
                                  const CollectiveTableOptions& options) {
  CollectiveTable table = parse_any(sources, std::move(name), std::move(text), options);
  for (MeasuredCollective& row : table.rows) {
    if (row.algorithm.empty()) {
      row.algorithm = options.algorithm;
    }
  }
  return table;
}

CollectiveTable read_collectives(config::Sources& sources, const std::string& path,
                                 const CollectiveTableOptions& options) {
  return parse_collectives(sources, path, config::read_file(path), options);
}

void reject_erratic(CollectiveTable& table) {
  std::vector<std::string_view> reasons(table.rows.size());
  std::map<Part, std::pair<int, int>> parts;  // rows, and those of them that are rejected
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    for (std::size_t k = 0; k < table.rows.size() && reasons[i].empty(); ++k) {
      reasons[i] = i == k ? "" : contradiction(table.rows[i], table.rows[k]);
    }
    auto& [rows, rejected] = parts[part_of(table.rows[i])];
    ++rows;
    rejected += reasons[i].empty() ? 0 : 1;
  }
  std::vector<MeasuredCollective> kept;
  kept.reserve(table.rows.size());
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const auto& [rows, rejected] = parts.at(part_of(table.rows[i]));
    if (reasons[i].empty() && 2 * rejected > rows) {
      reasons[i] = "erratic: most rows of this group size are";
    }
    if (reasons[i].empty()) {
      kept.push_back(table.rows[i]);
    } else {
      ++table.rejected[std::string(reasons[i])];
    }
  }
  table.rows = std::move(kept);
}

}  // namespace foretrain::validation
