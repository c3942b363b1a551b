// SPDX-License-Identifier: Apache-2.0
// CSV tables: what RFC 4180 allows is read, and every mistake is told with its place.
#include "validation/csv.hpp"

#include <array>
#include <string>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using validation::CsvTable;

struct Parsed {
  config::Sources sources;
  config::Diagnostics diagnostics;
  CsvTable table;
  explicit Parsed(const std::string& text) : table(CsvTable::parse(sources, "t.csv", text)) {}
  [[nodiscard]] validation::CsvRow row(std::size_t index) { return table.row(index, diagnostics); }
  std::string mistakes() {
    try {
      diagnostics.throw_if_any();
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }
};

std::string error_of(const std::string& text) {
  try {
    static_cast<void>(Parsed(text));
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

TEST_CASE("a CSV cell may hold commas, quotes and line ends in quotes", "[csv]") {
  Parsed parsed("name,note\r\n\"a, b\",\"says \"\"no\"\"\nand more\"\r\n\r\nlast,");
  CHECK(parsed.table.columns() == std::vector<std::string>{"name", "note"});
  REQUIRE(parsed.table.size() == 2);
  CHECK(parsed.row(0).text("name") == "a, b");
  CHECK(parsed.row(0).text("note") == "says \"no\"\nand more");
  CHECK(parsed.row(1).text("name") == "last");
  CHECK_FALSE(parsed.row(1).has("note"));
  CHECK_FALSE(parsed.row(1).has("absent"));
  CHECK(parsed.row(1).line() == 5);  // the quoted line end and the blank line count
}

TEST_CASE("a byte order mark is no part of the first column's name", "[csv]") {
  Parsed parsed("\xEF\xBB\xBFm,n\n1,2\n");
  CHECK(parsed.row(0).count("m") == 1);
}

TEST_CASE("cells are read as numbers, counts and truths, and nothing is nothing", "[csv]") {
  Parsed parsed("x,m,t,empty\n 1.5e3 ,42,yes,\n");
  const auto row = parsed.row(0);
  CHECK(row.number("x") == 1500.0);
  CHECK(row.count("m") == 42);
  CHECK(row.truth("t") == true);
  CHECK(row.number("empty") == std::nullopt);
  CHECK(row.count("absent") == std::nullopt);
  CHECK(parsed.mistakes().empty());
}

TEST_CASE("a cell that is not what is wanted is told with line, column and name", "[csv]") {
  Parsed parsed("m,time\n8,1 ms\n-8,inf\n");
  CHECK(parsed.row(0).number("time") == std::nullopt);
  CHECK(parsed.row(1).count("m", {1, 100}) == std::nullopt);
  CHECK(parsed.row(1).number("time") == std::nullopt);
  CHECK(parsed.mistakes() == R"(t.csv:2:3: time: expected a number, got '1 ms'
  8,1 ms
    ^
t.csv:3:1: m: expected a whole number from 1 to 100, got '-8'
  -8,inf
  ^
t.csv:3:4: time: expected a number, got 'inf'
  -8,inf
     ^)");
}

TEST_CASE("columns count characters, not bytes", "[csv]") {
  Parsed parsed("a,b\n\xC3\xA9\xC3\xA9,x\n");
  CHECK(parsed.row(0).position("b").column == 4);
}

TEST_CASE("a table that is not whole is refused, with the place", "[csv]") {
  CHECK(error_of("") == "t.csv: expected a table with the names of its columns in the first line");
  CHECK(error_of("a,b\n1,\"2\n3") == "t.csv:2:3: this quote is never closed\n  1,\"2\n    ^");
  CHECK(error_of("a,b\n1,2\"\n") ==
        "t.csv:2:4: a quote inside a field that does not begin with one\n  1,2\"\n     ^");
  CHECK(error_of("a,b\n\"1\"x,2\n") ==
        "t.csv:2:4: expected a comma or the end of the line after a closing quote\n"
        "  \"1\"x,2\n     ^");
  CHECK(error_of("a,a,\n1,2,3\n1,2\n") == R"(t.csv:1:3: there is a column 'a' already
  a,a,
    ^
t.csv:1:5: expected the name of a column
  a,a,
      ^
t.csv:3:1: expected 3 fields, as in the first line, got 2
  1,2
  ^)");
}

TEST_CASE("a missing column is told with the nearest that is there", "[csv]") {
  Parsed parsed("kernel,measured_time\ngemm,1\n");
  const std::array<std::string_view, 2> wanted = {"kernel", "measured_time_ms"};
  parsed.table.require(wanted, parsed.diagnostics);
  CHECK(parsed.mistakes() ==
        "t.csv:1:1: there is no column 'measured_time_ms'; is 'measured_time' what it is called "
        "here?\n  kernel,measured_time\n  ^");
}

}  // namespace
}  // namespace foretrain::testing
