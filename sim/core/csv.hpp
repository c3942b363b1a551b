// How a text becomes a cell of a table of comma-separated values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace foretrain {

/// `text` as a cell of RFC 4180 CSV: in quotes, which it doubles within, where it would otherwise
/// be two cells or two rows.
[[nodiscard]] std::string csv_cell(std::string_view text);

}  // namespace foretrain
