// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/nccl_tests.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "sim/config/reader.hpp"
#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

using config::Position;
using config::Value;

[[noreturn]] void fail_at(const Position& position, std::string message) {
  config::Diagnostics diagnostics;
  diagnostics.add(position, "", std::move(message));
  diagnostics.throw_if_any();
  throw InternalError("a mistake was reported and not thrown");
}

/// What heads of files say about all rows.
struct Setting {
  std::optional<CollectiveKind> kind;
  std::int64_t ranks = 0;
  std::set<std::string> hosts;
};

/// The kind and group of all rows, from the file and the options; `place` is for what is missing.
MeasuredCollective grouped(const Setting& setting, const CollectiveTableOptions& options,
                           const Position& place) {
  MeasuredCollective group;
  const auto kind = options.kind ? options.kind : setting.kind;
  if (!kind) {
    fail_at(place, "the file does not name its collective: say which (--kind)");
  }
  if (options.kind && setting.kind && *options.kind != *setting.kind) {
    fail_at(place, fmt::format("the file measures {}, but {} was asked for", name_of(*setting.kind),
                               name_of(*options.kind)));
  }
  group.kind = *kind;
  group.gpus = options.gpus != 0 ? options.gpus : setting.ranks;
  if (group.gpus < 2) {
    fail_at(place, "the file does not list two or more ranks: say how many (--gpus)");
  }
  const auto hosts = static_cast<std::int64_t>(setting.hosts.size());
  if (options.gpus_per_node == 0 && hosts == 0) {
    fail_at(place,
            "the file does not list its hosts: say how many GPUs a node has "
            "(--gpus-per-node)");
  }
  const std::int64_t per_node =
      options.gpus_per_node != 0 ? options.gpus_per_node : group.gpus / hosts;
  if (per_node < 1 || (group.gpus > per_node && group.gpus % per_node != 0)) {
    fail_at(place, fmt::format("{} GPUs do not fill nodes of {}", group.gpus, per_node));
  }
  group.nodes = std::max<std::int64_t>(1, group.gpus / per_node);
  return group;
}

// ---- text ----

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) {
      return words;
    }
    line.remove_prefix(first);
    const std::size_t end = std::min(line.size(), line.find_first_of(" \t\r"));
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

std::optional<double> number_in(std::string_view word) {
  double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  const bool is_whole = error == std::errc() && end == word.data() + word.size();
  return is_whole && std::isfinite(number) ? std::optional<double>(number) : std::nullopt;
}

// mpirun --tag-output puts "[1,0]<stdout>:" before each line.
std::string_view without_tag(std::string_view line) {
  constexpr std::string_view kTag = "<stdout>:";
  const std::size_t tag = line.starts_with('[') ? line.find(kTag) : std::string_view::npos;
  return tag == std::string_view::npos ? line : line.substr(tag + kTag.size());
}

class TextParser {
 public:
  TextParser(const config::Source& source, const CollectiveTableOptions& options)
      : source_(source), options_(options) {}

  CollectiveTable run() {
    std::string_view rest = source_.text;
    for (int line = 1; !rest.empty(); ++line) {
      const std::size_t end = std::min(rest.size(), rest.find('\n'));
      read_line(without_tag(rest.substr(0, end)), {&source_, line, 1});
      rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    if (table_.rows.empty()) {
      fail_at(
          {&source_, 0, 0},
          "no result of nccl-tests: expected lines of size, count, type, ..., time, algbw, busbw");
    }
    const MeasuredCollective group = grouped(setting_, options_, {&source_, 0, 0});
    for (MeasuredCollective& row : table_.rows) {
      row.kind = group.kind;
      row.gpus = group.gpus;
      row.nodes = group.nodes;
    }
    return std::move(table_);
  }

 private:
  void read_line(std::string_view line, const Position& position) {
    const std::vector<std::string_view> words = words_of(line);
    if (words.empty()) {
      return;
    }
    if (words.front().starts_with('#')) {
      read_comment(words);
    } else if (number_in(words.front())) {
      read_result(words, position);
    }  // else: what a launcher or NCCL itself printed
  }

  void read_comment(const std::vector<std::string_view>& words) {
    for (const std::string_view word : words) {
      if (const auto kind = kind_of_program(word); kind && !setting_.kind) {
        setting_.kind = kind;
      }
    }
    // "#  Rank  0 Group  0 Pid  12345 on  hostname device  0 [0x07] NVIDIA H100"
    if (words.size() > 1 && words[1] == "Rank") {
      ++setting_.ranks;
      const auto on = std::find(words.begin(), words.end(), "on");
      if (on != words.end() && on + 1 != words.end()) {
        setting_.hosts.emplace(*(on + 1));
      }
    }
    // "#       size         count      type   redop    root     time   algbw   busbw #wrong ..."
    if (words.size() > 1 && words[1] == "size") {
      const auto time = std::find(words.begin(), words.end(), "time");
      time_column_ =
          time == words.end() ? time_column_ : static_cast<std::size_t>(time - words.begin()) - 1;
    }
  }

  void read_result(const std::vector<std::string_view>& words, const Position& position) {
    const double bytes = number_in(words.front()).value_or(0);
    if (words.size() < time_column_ + 3) {
      fail_at(position, fmt::format("expected size, count, type, ..., then in column {} a time and "
                                    "two bandwidths: the line has {} columns",
                                    time_column_ + 1, words.size()));
    }
    const auto time = number_in(words[time_column_]);
    if (!time) {
      fail_at(position, fmt::format("expected a time in us in column {}, got '{}'",
                                    time_column_ + 1, words[time_column_]));
    }
    const bool has_wrong = words.size() > time_column_ + 3;
    const double wrong = has_wrong ? number_in(words[time_column_ + 3]).value_or(0) : 0;
    if (bytes <= 0 || *time <= 0) {
      ++table_.rejected["no payload or no time"];
    } else if (wrong > 0) {
      ++table_.rejected["the result was wrong"];
    } else {
      MeasuredCollective row;
      row.payload = Bytes(bytes);
      row.time = Seconds(*time * 1e-6);
      row.source = source_.name;
      row.line = position.line;
      table_.rows.push_back(std::move(row));
    }
  }

  const config::Source& source_;
  const CollectiveTableOptions& options_;
  Setting setting_;
  std::size_t time_column_ = 5;  // after size, count, type, redop, root
  CollectiveTable table_;
};

// ---- JSON ----

const Value* find(const config::Table& table, std::string_view key) {
  for (const config::Entry& entry : table) {
    if (entry.key == key) {
      return &entry.value;
    }
  }
  return nullptr;
}

std::optional<double> number_of(const Value* value) {
  if (value == nullptr) {
    return std::nullopt;
  }
  if (const auto* whole = std::get_if<std::int64_t>(&value->data)) {
    return static_cast<double>(*whole);
  }
  if (const auto* number = std::get_if<double>(&value->data)) {
    return *number;
  }
  return std::nullopt;
}

const std::string* text_of(const Value* value) {
  return value == nullptr ? nullptr : std::get_if<std::string>(&value->data);
}

const config::Array* array_of(const Value* value) {
  return value == nullptr ? nullptr : std::get_if<config::Array>(&value->data);
}

// Ranks are a list of tables with a host name, under a key that versions call differently.
void read_ranks(const Value& value, Setting& setting) {
  if (const config::Table* table = value.table()) {
    const std::string* const host = text_of(find(*table, "hostname"));
    if (host != nullptr && find(*table, "rank") != nullptr) {
      ++setting.ranks;
      setting.hosts.insert(*host);
      return;
    }
    for (const config::Entry& entry : *table) {
      if (entry.key != "results" && entry.key != "env") {
        read_ranks(entry.value, setting);
      }
    }
  } else if (const config::Array* array = array_of(&value)) {
    for (const Value& element : *array) {
      read_ranks(element, setting);
    }
  }
}

void read_kind(const config::Table& root, Setting& setting) {
  const config::Array* const arguments = array_of(find(root, "args"));
  if (arguments != nullptr && !arguments->empty()) {
    if (const std::string* program = text_of(&arguments->front())) {
      setting.kind = kind_of_program(*program);
    }
  }
}

MeasuredCollective json_row(const config::Table& result, const Position& position,
                            const MeasuredCollective& group, std::string& rejection) {
  MeasuredCollective row = group;
  const auto bytes = number_of(find(result, "size"));
  if (!bytes) {
    fail_at(position, "a result has no number 'size'");
  }
  row.payload = Bytes(*bytes);
  row.source = position.source->name;
  row.line = position.line;
  for (const std::string_view place : {"out_of_place", "in_place"}) {
    const Value* const value = find(result, place);
    const config::Table* const body = value == nullptr ? nullptr : value->table();
    const auto time = body == nullptr ? std::nullopt : number_of(find(*body, "time"));
    if (!time) {
      continue;
    }
    row.time = Seconds(*time * 1e-6);
    const bool is_wrong = number_of(find(*body, "nwrong")).value_or(0) > 0;
    rejection = is_wrong ? "the result was wrong" : "";
    break;
  }
  if (row.payload <= Bytes(0) || row.time <= Seconds(0)) {
    rejection = "no payload or no time";
  }
  return row;
}

}  // namespace

std::optional<CollectiveKind> kind_of_program(std::string_view program) {
  constexpr std::string_view kEnd = "_perf";
  program.remove_prefix(program.rfind('/') + 1);  // npos + 1 is 0
  if (!program.ends_with(kEnd)) {
    program = program.substr(0, program.find(kEnd));  // all_reduce_perf_mpi
  } else {
    program.remove_suffix(kEnd.size());
  }
  return program == "alltoall" ? CollectiveKind::all_to_all : kind_named(program);
}

CollectiveTable parse_nccl_tests_text(config::Sources& sources, std::string name, std::string text,
                                      const CollectiveTableOptions& options) {
  return TextParser(sources.add(std::move(name), std::move(text)), options).run();
}

CollectiveTable parse_nccl_tests_json(config::Sources& sources, std::string name, std::string text,
                                      const CollectiveTableOptions& options) {
  const Value root = config::parse_json(sources, std::move(name), std::move(text));
  const config::Table* const table = root.table();
  const config::Array* const results =
      table == nullptr ? nullptr : array_of(find(*table, "results"));
  if (results == nullptr) {
    fail_at(root.position, "no list 'results', as nccl-tests writes one with -J");
  }
  Setting setting;
  read_kind(*table, setting);
  read_ranks(root, setting);
  const MeasuredCollective group = grouped(setting, options, root.position);
  CollectiveTable read;
  for (const Value& result : *results) {
    if (result.table() == nullptr) {
      fail_at(result.position, "expected a table of one result");
    }
    std::string rejection;
    MeasuredCollective row = json_row(*result.table(), result.position, group, rejection);
    if (rejection.empty()) {
      read.rows.push_back(std::move(row));
    } else {
      ++read.rejected[rejection];
    }
  }
  if (read.rows.empty()) {
    fail_at(root.position, "no result can be used");
  }
  return read;
}

}  // namespace foretrain::validation
