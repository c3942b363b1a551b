// Edits a tree of configuration by dotted keys: "gemm.fp16.efficiency".
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "sim/config/value.hpp"

namespace foretrain::validation {

/// Nothing when the key, or a table on the way, is absent.
[[nodiscard]] const config::Value* find_key(const config::Value& root, std::string_view key);
/// Sets or adds; tables on the way are added. A number goes before the table's sections.
void put_key(config::Value& root, std::string_view key, config::Value value);
/// Takes the key away if it is there, and tables that are empty then.
void erase_key(config::Value& root, std::string_view key);

template <class T>
[[nodiscard]] config::Value value_of(T data) {
  config::Value value;
  value.data = std::move(data);
  return value;
}
/// { value = ..., basis = ..., source = ... }
[[nodiscard]] config::Value sourced_value(config::Value value, std::string basis,
                                          std::string source);

/// The comment at the head of the file that a tree was read from; empty without a file.
[[nodiscard]] std::string head_comment(const config::Value& root);

}  // namespace foretrain::validation
