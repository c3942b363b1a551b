// SPDX-License-Identifier: Apache-2.0
#include "sim/study/what_if/what_if.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "sim/config/text.hpp"
#include "sim/core/error.hpp"
#include "sim/core/suggest.hpp"
#include "sim/study/what_if/hardware.hpp"

namespace foretrain {
namespace {

constexpr std::string_view kOption = "--what-if";

std::optional<double> number_in(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && std::isfinite(number) ? std::optional(number)
                                                                      : std::nullopt;
}

// "2x", "+50%", "-20%"; nothing for what is none of these.
std::optional<double> parse_factor(std::string_view text) {
  if (text.ends_with('x')) {
    return number_in(text.substr(0, text.size() - 1));
  }
  if (text.ends_with('%') && (text.starts_with('+') || text.starts_with('-'))) {
    const auto percent = number_in(text.substr(1, text.size() - 2));
    const double sign = text.front() == '+' ? 1 : -1;
    return percent ? std::optional(1 + sign * *percent / 100) : std::nullopt;
  }
  return std::nullopt;
}

std::size_t row_index(const std::string& name) {
  const auto rows = what_if_rows();
  const auto row = std::find_if(rows.begin(), rows.end(),
                                [&](const WhatIfRow& each) { return each.name == name; });
  return static_cast<std::size_t>(row - rows.begin());
}

[[noreturn]] void refuse_name(const config::Position& position, const std::string& name) {
  std::vector<std::string> names;
  for (const WhatIfRow& row : what_if_rows()) {
    names.emplace_back(row.name);
  }
  std::string message = "no hardware is called '" + config::printable(name) + "'";
  if (const auto near = nearest(name, names)) {
    message += "; did you mean '" + *near + "'?";
  } else {
    message += "; there are " + config::join(names);
  }
  config::fail_at(position, message);
}

HardwareChange parse_change(const config::Source& source, std::size_t begin, std::size_t end) {
  const std::string part = source.text.substr(begin, end - begin);
  config::Position position{&source, 1, static_cast<int>(begin) + 1};
  const std::size_t equals = part.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == part.size()) {
    config::fail_at(position, "expected NAME=AMOUNT such as nic=400Gb/s, hbm=+50% or nvlink=2x");
  }
  HardwareChange change;
  change.name = part.substr(0, equals);
  if (row_index(change.name) == what_if_rows().size()) {
    refuse_name(position, change.name);
  }
  position.column += static_cast<int>(equals) + 1;
  change.amount = {part.substr(equals + 1), std::nullopt, position};
  change.amount.factor = parse_factor(change.amount.text);
  if (change.amount.factor && !(*change.amount.factor > 0)) {
    refuse(change.amount, "expected a factor of more than zero");
  }
  return change;
}

// A long list is cut.
std::vector<std::string> told(std::vector<std::string> notes) {
  constexpr std::size_t kMost = 4;
  if (notes.size() > kMost) {
    const std::size_t more = notes.size() - kMost;
    notes.resize(kMost);
    notes.push_back(fmt::format("{} more", more));
  }
  return notes;
}

}  // namespace

std::vector<HardwareChange> parse_what_if(config::Sources& sources, const std::string& line) {
  const config::Source& source = config::add_text(sources, std::string(kOption), line);
  std::vector<HardwareChange> changes;
  std::size_t begin = 0;
  while (begin <= line.size()) {
    const std::size_t end = std::min(line.find(',', begin), line.size());
    HardwareChange change = parse_change(source, begin, end);
    for (const HardwareChange& other : changes) {
      if (other.name == change.name) {
        refuse(change.amount, change.name + " is changed twice");
      }
    }
    changes.push_back(std::move(change));
    begin = end + 1;
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const HardwareChange& a, const HardwareChange& b) {
                     return row_index(a.name) < row_index(b.name);
                   });
  return changes;
}

ChangeText apply(const HardwareChange& change, config::Value& run_file, config::Sources& sources,
                 const Catalogue& catalogue, const std::string& directory) {
  config::Diagnostics diagnostics;
  config::Reader reader(run_file, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  // The files are read for this alone: what the run leans on is kept when it is resolved.
  config::Sources scratch;
  Hardware hardware(file, scratch, catalogue, directory,
                    fmt::format("{} {}", kOption, change.text()));
  what_if_rows()[row_index(change.name)].change(hardware, change.amount);
  merge(run_file, parse_toml(sources, std::string(kOption), to_toml(hardware.overrides())));
  return fmt::format("what if {}: {}", change.text(), fmt::join(told(hardware.notes()), ", "));
}

std::vector<ChangeText> apply_what_if(const std::string& line, config::Value& run_file,
                                      config::Sources& sources, const Catalogue& catalogue,
                                      const std::string& directory) {
  std::vector<ChangeText> texts;
  for (const HardwareChange& change : parse_what_if(sources, line)) {
    texts.push_back(apply(change, run_file, sources, catalogue, directory));
  }
  return texts;
}

std::string what_if_help() {
  std::string text = "Change hardware, such as nic=400Gb/s,gpu=h200-sxm,hbm=+50%; names:";
  for (const WhatIfRow& row : what_if_rows()) {
    text += fmt::format("\n  {}={}: {}", row.name, row.example, row.sentence);
  }
  return text;
}

}  // namespace foretrain
