// How values and results are written in the JSON of a journal: the same bytes for the same result.
// Only for the files of this folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace foretrain::sweep {

/// A varied value as JSON: a number or a boolean where it is one, text otherwise.
inline nlohmann::ordered_json typed(const std::string& value) {
  auto json = nlohmann::ordered_json::parse(value, nullptr, false);
  return json.is_number() || json.is_boolean() ? json : nlohmann::ordered_json(value);
}

/// On one line; what is not UTF-8 is replaced.
inline std::string dumped(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace foretrain::sweep
