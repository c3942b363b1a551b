// Tables of measurements: comma-separated values with a header line (RFC 4180).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::validation {

/// A table as text cells. Every row has a cell for every column.
struct CsvTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<int> lines;  ///< where each row starts, counted from 1

  /// The index of a column, or columns.size() when there is none.
  [[nodiscard]] std::size_t column(std::string_view name) const;
};

/// Parses a table; cells may be quoted, with "" for a quote. Throws ConfigError with the line of
/// a row that has too many or too few cells, or of a quote that is never closed.
[[nodiscard]] CsvTable parse_csv(const std::string& name, const std::string& text);

}  // namespace foretrain::validation
