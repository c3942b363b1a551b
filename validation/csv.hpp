// Tables of measurements as RFC 4180 CSV: quoted fields, a header of column names, and the place of
// every cell, so that a mistake in row 3,000 is told where it stands.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/reader.hpp"
#include "sim/config/value.hpp"

namespace foretrain::validation {

struct CsvCell {
  std::string text;
  config::Position position;  ///< of its first character, a quote included
};

/// Why a row is of no use: thrown by those who read one, caught by those who read all.
struct Rejected {
  std::string reason;
};

class CsvTable;

/// A view of one row. Cells are asked for by column; an empty cell and a column that the table
/// lacks are both "nothing". A cell that is not what was asked for is reported, and is then
/// nothing.
class CsvRow {
 public:
  CsvRow(const CsvTable& table, const std::vector<CsvCell>& cells, config::Diagnostics& diagnostics)
      : table_(&table), cells_(&cells), diagnostics_(&diagnostics) {}

  [[nodiscard]] bool has(std::string_view column) const { return !text(column).empty(); }
  /// The cell as it stands, without its quotes; empty when there is nothing.
  [[nodiscard]] const std::string& text(std::string_view column) const;
  /// A finite number such as 12, 1.5 or 2e9; no unit, no thousands separator.
  [[nodiscard]] std::optional<double> number(std::string_view column) const;
  [[nodiscard]] std::optional<std::int64_t> count(std::string_view column,
                                                  config::Range range = {}) const;
  /// yes / no, true / false, 1 / 0.
  [[nodiscard]] std::optional<bool> truth(std::string_view column) const;
  /// Reports a mistake at this column's cell, or at the row's start when the table lacks it.
  void fail(std::string_view column, std::string message) const;
  [[nodiscard]] config::Position position(std::string_view column) const;
  [[nodiscard]] int line() const { return cells_->front().position.line; }

 private:
  [[nodiscard]] const CsvCell* find(std::string_view column) const;

  const CsvTable* table_;
  const std::vector<CsvCell>* cells_;
  config::Diagnostics* diagnostics_;
};

class CsvTable {
 public:
  /// Reads and checks the whole text. Throws ConfigError for an unfinished quote, a row that is
  /// longer or shorter than the header, a nameless or repeated column, a table without a header.
  /// Blank lines are skipped. REQUIRES: `sources` outlives the table.
  [[nodiscard]] static CsvTable parse(config::Sources& sources, std::string name, std::string text);
  [[nodiscard]] static CsvTable load(config::Sources& sources, const std::string& path);

  [[nodiscard]] const std::vector<std::string>& columns() const { return columns_; }
  [[nodiscard]] const config::Position& position() const { return header_; }
  [[nodiscard]] bool has_column(std::string_view column) const;
  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  [[nodiscard]] CsvRow row(std::size_t index, config::Diagnostics& diagnostics) const {
    return {*this, rows_[index], diagnostics};
  }
  /// Reports every one of these columns that the table lacks, with the nearest that it has.
  void require(std::span<const std::string_view> columns, config::Diagnostics& diagnostics) const;

 private:
  friend class CsvRow;
  [[nodiscard]] std::optional<std::size_t> index_of(std::string_view column) const;

  std::vector<std::string> columns_;
  config::Position header_;
  std::vector<std::vector<CsvCell>> rows_;
};

}  // namespace foretrain::validation
