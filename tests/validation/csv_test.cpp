// SPDX-License-Identifier: Apache-2.0
// Tables are read cell by cell, and broken ones refused at the line.
#include "validation/csv.hpp"

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::validation {
namespace {

using Row = std::vector<std::string>;

Diagnostic mistake_in(const std::string& text) {
  try {
    (void)parse_csv("t.csv", text);
  } catch (const ConfigError& error) {
    return error.diagnostics().front();
  }
  return {};
}

TEST_CASE("cells are told apart by commas, rows by line ends of either kind", "[csv]") {
  const CsvTable table = parse_csv("t.csv", "a,b\r\n1,2\n\n3,\n");
  CHECK(table.columns == Row{"a", "b"});
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0] == Row{"1", "2"});
  CHECK(table.rows[1] == Row{"3", ""});
  CHECK(table.lines == std::vector<int>{2, 4});
  CHECK(table.column("b") == 1);
  CHECK(table.column("c") == 2);
}

TEST_CASE("a quoted cell holds commas, quotes and line ends", "[csv]") {
  const CsvTable table = parse_csv("t.csv", "a,b\n\"x, \"\"y\"\"\nz\",2\n3,4");
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0] == Row{"x, \"y\"\nz", "2"});
  CHECK(table.lines[1] == 4);
}

TEST_CASE("a broken table is refused with the line", "[csv]") {
  CHECK(mistake_in("a,b\n1,2\n3\n").line == 3);
  CHECK(mistake_in("a,b\n1,2,3\n").message == "expected 2 cells as in the header, got 3");
  CHECK(mistake_in("a\n\"x\n").message == "a quote is never closed");
  CHECK(mistake_in("a\n\"x\"y\n").message == "a quoted cell goes on after its closing quote");
  CHECK(mistake_in("").line == 1);
}

}  // namespace
}  // namespace foretrain::validation
