// Looking up a row of a visible table by its name.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "sim/core/error.hpp"

namespace foretrain {

/// The row called `name`, of rows that have a `name`; `what` they are is for people. Throws
/// InternalError when there is none: names from a file are checked where they are read.
template <class Rows>
[[nodiscard]] const auto& row_named(const Rows& rows, std::string_view name,
                                    std::string_view what) {
  const auto found = std::find_if(std::begin(rows), std::end(rows),
                                  [name](const auto& row) { return row.name == name; });
  if (found == std::end(rows)) {
    throw InternalError("no " + std::string(what) + " called " + std::string(name));
  }
  return *found;
}

}  // namespace foretrain
