// Short ways to read a text through a Reader, and to get the whole of the error that it gives.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "sim/config/reader.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config::testing {

/// The text of the ConfigError that `action` throws; "no error" when it throws none.
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

/// Parses `text` as the file a.toml, lets `read` use a reader of it, and gives all mistakes.
template <class Read>
std::string mistakes(std::string text, Read read) {
  return error_of([&] {
    Sources sources;
    const Value root = parse_toml(sources, "a.toml", std::move(text));
    Diagnostics diagnostics;
    Reader reader(root, "", diagnostics);
    read(reader);
    diagnostics.throw_if_any();
  });
}

inline std::string toml_error(std::string text) {
  return mistakes(std::move(text), [](Reader&) {});
}

inline std::string json_error(std::string text) {
  return error_of([&] {
    Sources sources;
    (void)parse_json(sources, "a.json", std::move(text));
  });
}

/// What `read` makes of a key of the text, which must be without mistakes.
template <class Read>
auto result(std::string text, Read read) {
  Sources sources;
  const Value root = parse_toml(sources, "a.toml", std::move(text));
  Diagnostics diagnostics;
  Reader reader(root, "", diagnostics);
  auto value = read(reader);
  diagnostics.throw_if_any();
  return value;
}

}  // namespace foretrain::config::testing
