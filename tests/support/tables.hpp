// Holds a folder of algorithms to its visible table: one file, one row.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/source_tree.hpp"

namespace foretrain::testing {

/// One sentence per fault of `folder`, whose catalog.cpp holds rows {"name", "sentence", function,
/// ...}: every other .cpp there is called like the functions of a row (adam_8bit.cpp has
/// adam_8bit_state), and every row's first function has such a file.
[[nodiscard]] std::vector<std::string> table_faults(std::span<const SourceFile> files,
                                                    std::string_view folder);

}  // namespace foretrain::testing
