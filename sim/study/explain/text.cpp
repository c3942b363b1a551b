// Explanations as text, JSON and CSV.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/core/csv.hpp"
#include "sim/study/explain/explain.hpp"

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 7> kLarge = {"", "k", "M", "G", "T", "P", "E"};
constexpr std::array<std::string_view, 4> kSmall = {"", "m", "u", "n"};

// Whether a unit takes prefixes below one: seconds do, bytes and FLOPs do not.
std::string_view prefix(double& value, bool is_time) {
  std::size_t power = 0;
  if (is_time && value != 0 && std::abs(value) < 1) {
    while (std::abs(value) < 1 && power + 1 < kSmall.size()) {
      value *= 1000;
      ++power;
    }
    return kSmall[power];
  }
  while (!is_time && std::abs(value) >= 999.95 && power + 1 < kLarge.size()) {
    value /= 1000;
    ++power;
  }
  return kLarge[power];
}

std::string counted_text(const Term& term) {
  if (!term.counted) {
    return "";
  }
  std::string text = fmt::format("{}: {}", term.counted_where, si(*term.counted, term.unit));
  if (term.value != 0) {
    text += fmt::format(" ({:+.1f} %)", 100 * (*term.counted / term.value - 1));
  }
  return text;
}

std::string term_text(const Term& term) {
  std::string text = fmt::format("  {}", term.quantity);
  for (const std::string& side : {term.formula, term.numbers}) {
    text += side.empty() ? "" : fmt::format(" = {}", side);
  }
  text += fmt::format(" = {}", si(term.value, term.unit));
  text += term.time ? fmt::format(", {}\n", si(term.time->value, "s")) : "\n";
  for (const std::string& line : {term.source, counted_text(term)}) {
    text += line.empty() ? "" : fmt::format("      {}\n", line);
  }
  return text;
}

}  // namespace

std::string si(double value, const std::string& unit) {
  const std::string_view letter = prefix(value, unit == "s");
  const std::string suffix = std::string(letter) + unit;
  return fmt::format("{:.4g}{}{}", value, suffix.empty() ? "" : " ", suffix);
}

std::string plain(double value) {
  return std::abs(value) < 1e6 && value == std::floor(value) ? fmt::format("{:.0f}", value)
                                                             : si(value, "");
}

std::string explain_text(const Explanation& explanation) {
  std::string text = explanation.title + "\n" + explanation.layout + "\n";
  for (const Chapter& chapter : explanation.chapters) {
    if (!chapter.terms.empty()) {
      text += fmt::format("\n{}\n", chapter.title);
      for (const Term& term : chapter.terms) {
        text += term_text(term);
      }
    }
  }
  return text;
}

std::string explain_json(const Explanation& explanation) {
  nlohmann::ordered_json json = {{"title", explanation.title},
                                 {"layout", explanation.layout},
                                 {"chapters", nlohmann::ordered_json::array()}};
  for (const Chapter& chapter : explanation.chapters) {
    nlohmann::ordered_json terms = nlohmann::ordered_json::array();
    for (const Term& term : chapter.terms) {
      nlohmann::ordered_json out = {{"quantity", term.quantity}, {"formula", term.formula},
                                    {"numbers", term.numbers},   {"value", term.value},
                                    {"unit", term.unit},         {"source", term.source}};
      if (term.time) {
        out["time_s"] = term.time->value;
      }
      if (term.counted) {
        out["counted"] = *term.counted;
        out["counted_where"] = term.counted_where;
      }
      terms.push_back(out);
    }
    json["chapters"].push_back({{"title", chapter.title}, {"terms", terms}});
  }
  return json.dump(2) + "\n";
}

std::string explain_csv(const Explanation& explanation) {
  std::string text = "chapter,quantity,formula,numbers,value,unit,time_s,counted,source\n";
  for (const Chapter& chapter : explanation.chapters) {
    for (const Term& term : chapter.terms) {
      const auto maybe = [](const std::optional<double>& number) {
        return number ? fmt::format("{:.12g}", *number) : "";
      };
      const auto time = term.time ? std::optional(term.time->value) : std::nullopt;
      text += fmt::format("{},{},{},{},{:.12g},{},{},{},{}\n", csv_cell(chapter.title),
                          csv_cell(term.quantity), csv_cell(term.formula), csv_cell(term.numbers),
                          term.value, term.unit, maybe(time), maybe(term.counted),
                          csv_cell(term.source));
    }
  }
  return text;
}

}  // namespace foretrain
