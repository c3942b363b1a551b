// JSON text as a tree: values, positions, and whole error texts.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>
#include <variant>

#include "sim/config/value.hpp"
#include "tests/sim/config/reading.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

using testing::json_error;

TEST_CASE("each kind of JSON value has its place in the tree", "[config]") {
  Sources sources;
  const Value root = parse_json(
      sources, "a.json",
      R"({"z": true, "b": -7, "c": 5e-1, "d": "x\u0041", "e": [1, 2], "f": {}, "n": null})");
  const Table& table = *root.table();
  REQUIRE(table.size() == 6);  // the null is as if it were not there
  CHECK(table[0].key == "z");
  CHECK(std::get<bool>(table[0].value.data));
  CHECK(std::get<std::int64_t>(table[1].value.data) == -7);
  CHECK(std::get<double>(table[2].value.data) == 0.5);
  CHECK(std::get<std::string>(table[3].value.data) == "xA");
  CHECK(std::get<Array>(table[4].value.data).size() == 2);
  CHECK(std::get<Table>(table[5].value.data).empty());
}

TEST_CASE("JSON whole numbers beyond 64 bits with a sign become fractions", "[config]") {
  Sources sources;
  const Value root =
      parse_json(sources, "a.json", R"({"a": 9223372036854775807, "b": 9223372036854775808})");
  CHECK(std::get<std::int64_t>((*root.table())[0].value.data) == INT64_MAX);
  CHECK(std::get<double>((*root.table())[1].value.data) == 0x1p63);
}

TEST_CASE("JSON keys and values know their line and column", "[config]") {
  Sources sources;
  const Value root = parse_json(sources, "a.json",
                                "{\"a\\\"]\": [1 , \"]}\", null,\n"
                                "  -2.5], \"b\" :{ \"\xc3\xa4\": true, \"c\": false}}");
  const Entry& a = (*root.table())[0];
  CHECK(a.key == "a\"]");
  CHECK(a.key_position.column == 2);
  CHECK(a.value.position.column == 10);
  const Array& array = std::get<Array>(a.value.data);
  REQUIRE(array.size() == 3);
  CHECK(array[0].position.column == 11);
  CHECK(array[1].position.column == 15);
  CHECK(array[2].position.line == 2);
  CHECK(array[2].position.column == 3);
  const Entry& b = (*root.table())[1];
  CHECK(b.key_position.column == 10);
  CHECK(b.value.position.column == 15);
  const Table& inner = *b.value.table();
  CHECK(inner[0].value.position.column == 22);  // the umlaut is one character
  CHECK(inner[1].key_position.column == 28);
  CHECK(inner[1].value.position.column == 33);
}

TEST_CASE("a JSON key that is there twice is a mistake at the second one", "[config]") {
  CHECK(json_error("{\"a\": 1,\n \"b\": {\"a\": 2},\n \"a\": 3}") ==
        "a.json:3:2: the key 'a' is here a second time\n"
        "   \"a\": 3}\n"
        "   ^");
}

TEST_CASE("a JSON syntax error is told with its place", "[config]") {
  CHECK(json_error("{\"a\": 1,}") ==
        "a.json:1:9: not valid JSON: unexpected '}'; expected string literal\n"
        "  {\"a\": 1,}\n"
        "          ^");
  CHECK(json_error("{\"a\": tru}") ==
        "a.json:1:7: not valid JSON: invalid literal\n"
        "  {\"a\": tru}\n"
        "        ^");
  CHECK(json_error("{\"a\" 1}") ==
        "a.json:1:6: not valid JSON: unexpected number literal; expected ':'\n"
        "  {\"a\" 1}\n"
        "       ^");
  CHECK(json_error("{\"a\": [1, 2") ==
        "a.json:1:12: not valid JSON: unexpected end of input; expected ']'\n"
        "  {\"a\": [1, 2\n"
        "             ^");
}

TEST_CASE("JSON has no comments, nan or single quotes", "[config]") {
  CHECK(json_error("{} // x") != "no error");
  CHECK(json_error("{\"a\": NaN}") != "no error");
  CHECK(json_error("{'a': 1}") != "no error");
  CHECK(json_error("{} {}") != "no error");
}

TEST_CASE("a JSON number that no double holds is refused", "[config]") {
  CHECK(json_error("{\"a\": 1e999}") ==
        "a.json:1:7: not valid JSON: a number too large\n"
        "  {\"a\": 1e999}\n"
        "        ^");
}

TEST_CASE("a JSON text must be an object, whole and nothing else", "[config]") {
  CHECK(json_error("[1]") == "a.json:1:1: expected a JSON object\n  [1]\n  ^");
  CHECK(json_error("null") == "a.json:1:1: expected a JSON object\n  null\n  ^");
  CHECK(json_error("") ==
        "a.json:1:1: not valid JSON: unexpected end of input; expected '[', '{', or a literal");
  CHECK(json_error("{\"a\": [1,,2]}").starts_with("a.json:1:10: not valid JSON: "));
  CHECK(json_error("{\"a\": 1 2}").starts_with("a.json:1:9: not valid JSON: "));
  CHECK(json_error("{\"a\": \"\n\"}").starts_with("a.json:1:7: not valid JSON: "));
}

TEST_CASE("JSON nested a hundred thousand levels deep is refused", "[config]") {
  const std::string text = "{\"a\": " + std::string(100'000, '[');
  CHECK(json_error(text).find("a.json:1:70: nested deeper than 64 levels\n") == 0);
}

TEST_CASE("a long line is cut around the place of the error", "[config]") {
  const std::string text = "{\"a\": \"" + std::string(5000, 'x') + "\", \"b\": tru}";
  CHECK(json_error(text) == "a.json:1:5016: not valid JSON: invalid literal\n  ..." +
                                std::string(42, 'x') + "\", \"b\": tru}\n  " +
                                std::string(53, ' ') + "^");
}

}  // namespace
}  // namespace foretrain::config
