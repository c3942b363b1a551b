// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/grid.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"

namespace foretrain::sweep {
namespace {

using Json = nlohmann::json;

// Beyond this an index is no longer a plan but a mistake.
constexpr std::uint64_t kMostPoints = 1'000'000'000;
constexpr std::size_t kMostValues = 100'000;

[[noreturn]] void refuse(const std::string& option, const std::string& key, std::string message) {
  throw ConfigError({Diagnostic{option, 0, 0, key, std::move(message), ""}});
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  return begin == std::string_view::npos
             ? std::string_view()
             : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

// Follows quotes and brackets, which keep their commas.
class Nesting {
 public:
  void step(char c) {
    if (quote_ != 0) {
      quote_ = c == quote_ && !is_escaped_ ? '\0' : quote_;
      is_escaped_ = c == '\\' && !is_escaped_ && quote_ == '"';
    } else if (c == '"' || c == '\'') {
      quote_ = c;
    } else if (c == '[' || c == '{') {
      ++depth_;
    } else if (c == ']' || c == '}') {
      --depth_;
    }
  }
  [[nodiscard]] bool is_outside() const { return quote_ == 0 && depth_ <= 0; }

 private:
  char quote_ = 0;
  bool is_escaped_ = false;
  int depth_ = 0;
};

std::vector<std::string_view> split_values(std::string_view text) {
  std::vector<std::string_view> values;
  Nesting nesting;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ',' && nesting.is_outside()) {
      values.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    } else {
      nesting.step(text[i]);
    }
  }
  values.push_back(trimmed(text.substr(begin)));
  return values;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_all = error == std::errc() && end == text.data() + text.size();
  return is_all && number >= 0 ? std::optional(number) : std::nullopt;
}

// "2..16" or "4..16+4"; anything else is a value as it stands.
struct Range {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::optional<std::int64_t> step;  ///< doubling when there is none

  [[nodiscard]] bool is_good() const { return first <= last && (step ? *step >= 1 : first >= 1); }
  [[nodiscard]] std::vector<std::string> values() const {
    std::vector<std::string> values;
    for (std::int64_t n = first; n <= last && values.size() <= kMostValues;) {
      values.push_back(std::to_string(n));
      const std::int64_t by = step.value_or(n);
      if (n > last - by) {
        break;
      }
      n += by;
    }
    return values;
  }
};

std::optional<Range> range_of(std::string_view text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos) {
    return std::nullopt;
  }
  const std::size_t plus = std::min(text.find('+', dots), text.size());
  const auto first = whole_number(text.substr(0, dots));
  const auto last = whole_number(text.substr(dots + 2, plus - dots - 2));
  if (!first || !last) {
    return std::nullopt;
  }
  Range range{*first, *last, std::nullopt};
  if (plus < text.size()) {
    range.step = whole_number(text.substr(plus + 1)).value_or(0);
  }
  return range;
}

std::vector<std::string> parse_values(const std::string& option, const std::string& key,
                                      std::string_view text) {
  std::vector<std::string> values;
  for (const std::string_view part : split_values(text)) {
    if (part.empty()) {
      refuse(option, key, "expected values such as 1,2,4 or 2..16 (doubling), got an empty one");
    }
    if (const auto range = range_of(part)) {
      if (!range->is_good()) {
        refuse(option, key,
               fmt::format("'{}' is no range; expected one such as 2..16 (doubling, from 1 on) or "
                           "4..16+4 (in steps of 4)",
                           part));
      }
      const std::vector<std::string> more = range->values();
      values.insert(values.end(), more.begin(), more.end());
    } else {
      values.emplace_back(part);
    }
    if (values.size() > kMostValues) {
      refuse(option, key, fmt::format("more than {} values", kMostValues));
    }
  }
  std::set<std::string_view> seen;
  for (const std::string& value : values) {
    if (!seen.insert(value).second) {
      refuse(option, key, fmt::format("the value {} is there twice", value));
    }
  }
  return values;
}

Axis parse_axis(const std::string& option, const std::string& text) {
  const std::string whole = option + " " + text;
  const std::size_t equals = text.find('=');
  const std::string key(trimmed(std::string_view(text).substr(0, equals)));
  if (equals == std::string::npos || key.empty()) {
    refuse(whole, "", "expected KEY=VALUES with a key such as parallel.tensor");
  }
  return {{key}, {parse_values(whole, key, std::string_view(text).substr(equals + 1))}};
}

Axis parse_zipped(const std::vector<std::string>& texts) {
  Axis all;
  for (const std::string& text : texts) {
    const Axis one = parse_axis("--zip", text);
    if (!all.keys.empty() && one.size() != all.size()) {
      refuse("--zip " + text, one.keys.front(),
             fmt::format("has {} values, but {} has {}; zipped keys change together", one.size(),
                         all.keys.front(), all.size()));
    }
    all.keys.push_back(one.keys.front());
    all.values.push_back(one.values.front());
  }
  return all;
}

}  // namespace

Grid::Grid(std::vector<Axis> axes) : axes_(std::move(axes)) {
  for (const Axis& axis : axes_) {
    FORETRAIN_ASSERT(!axis.keys.empty() && axis.keys.size() == axis.values.size(),
                     "an axis has values for each of its keys");
    size_ *= axis.size();
    if (size_ > kMostPoints) {
      refuse("--vary", "", fmt::format("more than {} points", kMostPoints));
    }
  }
}

std::vector<std::string> Grid::keys() const {
  std::vector<std::string> keys;
  for (const Axis& axis : axes_) {
    keys.insert(keys.end(), axis.keys.begin(), axis.keys.end());
  }
  return keys;
}

std::vector<Assignment> Grid::point(std::uint64_t index) const {
  FORETRAIN_ASSERT(index < size_, "no such point");
  std::vector<Assignment> assignments;
  std::uint64_t block = size_;
  for (const Axis& axis : axes_) {
    block /= axis.size();
    const std::uint64_t at = index / block;
    index %= block;
    for (std::size_t k = 0; k < axis.keys.size(); ++k) {
      assignments.push_back({axis.keys[k], axis.values[k][at]});
    }
  }
  return assignments;
}

std::string Grid::to_json() const {
  Json json = Json::array();
  for (const Axis& axis : axes_) {
    json.push_back({{"keys", axis.keys}, {"values", axis.values}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Grid::text() const {
  std::string text;
  for (const Axis& axis : axes_) {
    for (std::size_t k = 0; k < axis.keys.size(); ++k) {
      text += fmt::format("{}{}={}", text.empty() ? "" : " ", axis.keys[k],
                          fmt::join(axis.values[k], ","));
    }
  }
  return text;
}

Grid grid_from_json(const std::string& text) {
  std::vector<Axis> axes;
  try {
    for (const Json& axis : Json::parse(text)) {
      axes.push_back({axis.at("keys"), axis.at("values")});
    }
  } catch (const Json::exception&) {
    refuse("", "", "does not say what it varied");
  }
  return Grid(std::move(axes));
}

Grid parse_grid(const std::vector<std::string>& varied, const std::vector<std::string>& zipped) {
  std::vector<Axis> axes;
  axes.reserve(varied.size() + 1);
  for (const std::string& text : varied) {
    axes.push_back(parse_axis("--vary", text));
  }
  if (!zipped.empty()) {
    axes.push_back(parse_zipped(zipped));
  }
  if (axes.empty()) {
    refuse("--vary", "", "expected a key to vary, such as --vary parallel.tensor=1,2,4");
  }
  Grid grid(std::move(axes));
  std::set<std::string> seen;
  for (const std::string& key : grid.keys()) {
    if (!seen.insert(key).second) {
      refuse("--vary", key, "is varied twice");
    }
  }
  return grid;
}

Shard parse_shard(const std::string& text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  const std::string_view all = text;
  const auto number = whole_number(all.substr(0, slash));
  const auto count = whole_number(all.substr(std::min(slash + 1, text.size())));
  if (!number || !count || *number < 1 || *number > *count) {
    refuse(
        "--shard", "",
        fmt::format("expected a part of the sweep such as 2/8, from 1/8 to 8/8, got '{}'", text));
  }
  return {static_cast<std::uint64_t>(*number), static_cast<std::uint64_t>(*count)};
}

}  // namespace foretrain::sweep
