// The CSV grammar is RFC 4180's, with any line ending.
// SPDX-License-Identifier: Apache-2.0
#include "validation/csv.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "sim/core/suggest.hpp"

namespace foretrain::validation {
namespace {

using config::Diagnostics;
using config::Position;
using config::Source;

[[noreturn]] void fail_at(const Position& position, std::string message) {
  Diagnostics diagnostics;
  diagnostics.add(position, "", std::move(message));
  diagnostics.throw_if_any();
  FORETRAIN_ASSERT(false, "a mistake was reported and not thrown");
}

/// Reads cell after cell, counting lines and characters (not bytes) from 1.
class CsvScanner {
 public:
  explicit CsvScanner(const Source& source) : source_(&source), text_(source.text) {
    if (text_.starts_with("\xEF\xBB\xBF")) {  // byte order mark
      at_ = 3;
    }
  }

  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }

  /// The cells of the next line that is not blank; empty at the end of the text.
  std::vector<CsvCell> next_row() {
    std::vector<CsvCell> cells;
    while (!at_end() && is_line_end()) {
      skip_line_end();
    }
    if (at_end()) {
      return cells;
    }
    cells.push_back(next_cell());
    while (!at_end() && text_[at_] == ',') {
      advance();
      cells.push_back(next_cell());
    }
    if (!at_end()) {
      skip_line_end();
    }
    return cells;
  }

 private:
  [[nodiscard]] Position here() const { return {source_, line_, column_}; }
  [[nodiscard]] bool is_line_end() const { return text_[at_] == '\n' || text_[at_] == '\r'; }

  void advance() {
    const auto byte = static_cast<unsigned char>(text_[at_++]);
    if (byte == '\n') {
      ++line_;
      column_ = 1;
    } else if (at_ == text_.size() || (static_cast<unsigned char>(text_[at_]) & 0xc0) != 0x80) {
      ++column_;  // the next byte begins a character
    }
  }

  void skip_line_end() {
    if (text_[at_] == '\r') {
      advance();
    }
    if (!at_end() && text_[at_] == '\n') {
      advance();
    }
  }

  CsvCell next_cell() {
    CsvCell cell;
    cell.position = here();
    if (!at_end() && text_[at_] == '"') {
      read_quoted(cell);
      return cell;
    }
    while (!at_end() && text_[at_] != ',' && !is_line_end()) {
      if (text_[at_] == '"') {
        fail_at(here(), "a quote inside a field that does not begin with one");
      }
      cell.text += text_[at_];
      advance();
    }
    return cell;
  }

  void read_quoted(CsvCell& cell) {
    advance();
    while (true) {
      if (at_end()) {
        fail_at(cell.position, "this quote is never closed");
      }
      const char character = text_[at_];
      advance();
      if (character != '"') {
        cell.text += character;
      } else if (!at_end() && text_[at_] == '"') {
        cell.text += '"';
        advance();
      } else {
        break;
      }
    }
    if (!at_end() && text_[at_] != ',' && !is_line_end()) {
      fail_at(here(), "expected a comma or the end of the line after a closing quote");
    }
  }

  const Source* source_;
  std::string_view text_;
  std::size_t at_ = 0;
  int line_ = 1;
  int column_ = 1;
};

void check_header(const std::vector<CsvCell>& header, Diagnostics& diagnostics) {
  std::set<std::string> seen;
  for (const CsvCell& cell : header) {
    if (cell.text.empty()) {
      diagnostics.add(cell.position, "", "expected the name of a column");
    } else if (!seen.insert(cell.text).second) {
      diagnostics.add(cell.position, "", "there is a column '" + cell.text + "' already");
    }
  }
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  return first == std::string_view::npos
             ? std::string_view{}
             : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

template <class T>
std::optional<T> parsed(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

const std::string kNothing;

}  // namespace

const CsvCell* CsvRow::find(std::string_view column) const {
  const auto index = table_->index_of(column);
  return index ? &(*cells_)[*index] : nullptr;
}

const std::string& CsvRow::text(std::string_view column) const {
  const CsvCell* cell = find(column);
  return cell == nullptr ? kNothing : cell->text;
}

std::optional<double> CsvRow::number(std::string_view column) const {
  const std::string_view text = trimmed(this->text(column));
  if (text.empty()) {
    return std::nullopt;
  }
  const auto value = parsed<double>(text);
  if (!value || !std::isfinite(*value)) {
    fail(column, "expected a number, got '" + std::string(text) + "'");
    return std::nullopt;
  }
  return value;
}

std::optional<std::int64_t> CsvRow::count(std::string_view column, config::Range range) const {
  const std::string_view text = trimmed(this->text(column));
  if (text.empty()) {
    return std::nullopt;
  }
  const auto value = parsed<std::int64_t>(text);
  if (!value || *value < range.least || *value > range.most) {
    fail(column, "expected a whole number from " + std::to_string(range.least) + " to " +
                     std::to_string(range.most) + ", got '" + std::string(text) + "'");
    return std::nullopt;
  }
  return value;
}

std::optional<bool> CsvRow::truth(std::string_view column) const {
  const std::string_view text = trimmed(this->text(column));
  if (text.empty()) {
    return std::nullopt;
  }
  if (text == "yes" || text == "true" || text == "True" || text == "1") {
    return true;
  }
  if (text == "no" || text == "false" || text == "False" || text == "0") {
    return false;
  }
  fail(column, "expected yes or no, got '" + std::string(text) + "'");
  return std::nullopt;
}

config::Position CsvRow::position(std::string_view column) const {
  const CsvCell* cell = find(column);
  return cell == nullptr ? cells_->front().position : cell->position;
}

void CsvRow::fail(std::string_view column, std::string message) const {
  diagnostics_->add(position(column), std::string(column), std::move(message));
}

CsvTable CsvTable::parse(config::Sources& sources, std::string name, std::string text) {
  const Source& source = sources.add(std::move(name), std::move(text));
  CsvScanner scanner(source);
  const std::vector<CsvCell> header = scanner.next_row();
  if (header.empty()) {
    fail_at({&source, 0, 0}, "expected a table with the names of its columns in the first line");
  }
  Diagnostics diagnostics;
  check_header(header, diagnostics);
  CsvTable table;
  table.header_ = header.front().position;
  for (const CsvCell& cell : header) {
    table.columns_.push_back(cell.text);
  }
  while (!scanner.at_end()) {
    std::vector<CsvCell> cells = scanner.next_row();
    if (cells.size() == header.size()) {
      table.rows_.push_back(std::move(cells));
    } else if (!cells.empty()) {
      diagnostics.add(cells.front().position, "",
                      "expected " + std::to_string(header.size()) +
                          " fields, as in the first line, got " + std::to_string(cells.size()));
    }
  }
  diagnostics.throw_if_any();
  return table;
}

CsvTable CsvTable::load(config::Sources& sources, const std::string& path) {
  return parse(sources, path, config::read_file(path));
}

std::optional<std::size_t> CsvTable::index_of(std::string_view column) const {
  const auto found = std::find(columns_.begin(), columns_.end(), column);
  return found == columns_.end()
             ? std::nullopt
             : std::optional<std::size_t>(static_cast<std::size_t>(found - columns_.begin()));
}

bool CsvTable::has_column(std::string_view column) const { return index_of(column).has_value(); }

void CsvTable::require(std::span<const std::string_view> columns, Diagnostics& diagnostics) const {
  for (const std::string_view column : columns) {
    if (!has_column(column)) {
      std::string message = "there is no column '" + std::string(column) + "'";
      if (const auto near = nearest(column, columns_)) {
        message += "; is '" + *near + "' what it is called here?";
      }
      diagnostics.add(header_, "", std::move(message));
    }
  }
}

}  // namespace foretrain::validation
