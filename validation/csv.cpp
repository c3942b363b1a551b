// SPDX-License-Identifier: Apache-2.0
#include "validation/csv.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

/// Walks through the text, one cell at a time.
class Cells {
 public:
  Cells(const std::string& name, const std::string& text) : name_(name), text_(text) {}

  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  [[nodiscard]] int line() const { return line_; }

  std::vector<std::string> row() {
    std::vector<std::string> cells = {cell()};
    while (!at_end() && text_[at_] == ',') {
      ++at_;
      cells.push_back(cell());
    }
    end_of_line();
    return cells;
  }

  [[noreturn]] void fail(int line, const std::string& message) const {
    throw ConfigError({Diagnostic{name_, line, 1, "", message, ""}});
  }

 private:
  std::string cell() { return !at_end() && text_[at_] == '"' ? quoted() : plain(); }

  std::string plain() {
    const std::size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    std::string cell = text_.substr(at_, end - at_);
    at_ = end;
    return cell;
  }

  std::string quoted() {
    const int opened = line_;
    std::string cell;
    for (++at_; !at_end(); ++at_) {
      if (text_[at_] != '"') {
        line_ += text_[at_] == '\n' ? 1 : 0;
        cell += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        cell += text_[++at_];
      } else {
        ++at_;
        if (!at_end() && std::string_view(",\r\n").find(text_[at_]) == std::string_view::npos) {
          fail(line_, "a quoted cell goes on after its closing quote");
        }
        return cell;
      }
    }
    fail(opened, "a quote is never closed");
  }

  void end_of_line() {
    at_ += !at_end() && text_[at_] == '\r' ? 1U : 0U;
    if (!at_end() && text_[at_] == '\n') {
      ++at_;
      ++line_;
    }
  }

  const std::string& name_;
  const std::string& text_;
  std::size_t at_ = 0;
  int line_ = 1;
};

}  // namespace

std::size_t CsvTable::column(std::string_view name) const {
  return static_cast<std::size_t>(std::find(columns.begin(), columns.end(), name) -
                                  columns.begin());
}

CsvTable parse_csv(const std::string& name, const std::string& text) {
  Cells cells(name, text);
  CsvTable table;
  if (cells.at_end()) {
    cells.fail(1, "expected a header line with the names of the columns");
  }
  table.columns = cells.row();
  while (!cells.at_end()) {
    const int line = cells.line();
    std::vector<std::string> row = cells.row();
    if (row.size() == 1 && row.front().empty()) {
      continue;
    }
    if (row.size() != table.columns.size()) {
      cells.fail(line, fmt::format("expected {} cells as in the header, got {}",
                                   table.columns.size(), row.size()));
    }
    table.rows.push_back(std::move(row));
    table.lines.push_back(line);
  }
  return table;
}

}  // namespace foretrain::validation
