// TOML text as a tree: values, order, positions, and whole error texts.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "sim/config/value.hpp"
#include "tests/sim/config/reading.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

using testing::toml_error;

Value parse(Sources& sources, std::string text) {
  return parse_toml(sources, "a.toml", std::move(text));
}

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) {
    result += text;
  }
  return result;
}

TEST_CASE("keys come in the order of the file, not of the alphabet", "[config]") {
  Sources sources;
  const Value root = parse(sources, "z = 1\na = 2\n[m]\ny = 3\nb.c = 4\n[c]\n");
  REQUIRE(root.table()->size() == 4);
  CHECK((*root.table())[0].key == "z");
  CHECK((*root.table())[1].key == "a");
  CHECK((*root.table())[2].key == "m");
  CHECK((*root.table())[3].key == "c");
  const Table& m = *(*root.table())[2].value.table();
  CHECK(m[0].key == "y");
  CHECK(m[1].key == "b");
}

TEST_CASE("each kind of TOML value has its place in the tree", "[config]") {
  Sources sources;
  const Value root = parse(sources, "a = true\nb = -7\nc = 0.5\nd = \"x\"\ne = [1, 2]\nf = {}\n");
  const Table& table = *root.table();
  CHECK(std::get<bool>(table[0].value.data));
  CHECK(std::get<std::int64_t>(table[1].value.data) == -7);
  CHECK(std::get<double>(table[2].value.data) == 0.5);
  CHECK(std::get<std::string>(table[3].value.data) == "x");
  CHECK(std::get<Array>(table[4].value.data).size() == 2);
  CHECK(std::get<Table>(table[5].value.data).empty());
}

TEST_CASE("keys, values, tables and elements know their line and column", "[config]") {
  Sources sources;
  const Value root = parse(sources, "# head\n\n  key = [10,\n 20]\n[[t]]\npeak.bf16 = \"1\"\n");
  CHECK(root.position.line == 0);  // the file as a whole
  const Entry& key = (*root.table())[0];
  CHECK(key.key_position.line == 3);
  CHECK(key.key_position.column == 3);
  CHECK(key.value.position.column == 9);
  const Value& second = std::get<Array>(key.value.data)[1];
  CHECK(second.position.line == 4);
  CHECK(second.position.column == 2);
  const Value& element = std::get<Array>((*root.table())[1].value.data)[0];
  CHECK(element.position.line == 5);
  const Entry& bf16 = (*(*element.table())[0].value.table())[0];
  CHECK(bf16.key_position.column == 6);
  CHECK(bf16.value.position.column == 13);
}

TEST_CASE("windows line ends, a byte order mark and an empty file are fine", "[config]") {
  Sources sources;
  const Value root = parse(sources,
                           "\xef\xbb\xbf"
                           "a = 1\r\nb = 2\r\n");
  CHECK(root.table()->size() == 2);
  CHECK((*root.table())[0].key_position.column == 1);
  CHECK((*root.table())[1].value.position.line == 2);
  CHECK(parse(sources, "").table()->empty());
  CHECK(parse(sources, "# only a comment").table()->empty());
}

// The reason is toml++'s and differs between its versions, so only the rest is compared.
void check_syntax_error(const std::string& text, const std::string& place,
                        const std::string& excerpt) {
  const std::string error = toml_error(text);
  CAPTURE(error);
  CHECK(error.starts_with("a.toml:" + place + ": not valid TOML: "));
  CHECK(error.ends_with(excerpt));
  CHECK(std::count(error.begin(), error.end(), '\n') == 2);
}

TEST_CASE("a TOML syntax error is told with its place", "[config]") {
  check_syntax_error("a = 1\nb = = 2\n", "2:5", "\n  b = = 2\n      ^");
  check_syntax_error("a = 1\n[b\n", "2:3", "\n  [b\n    ^");
  check_syntax_error("a = [1,", "1:8", "\n  a = [1,\n         ^");
}

TEST_CASE("a TOML key that is set twice is a mistake in the second line", "[config]") {
  check_syntax_error("ab = 1\nab = 2\n", "2:6", "\n  ab = 2\n       ^");
}

TEST_CASE("TOML dates and times are refused, all of them at once", "[config]") {
  CHECK(toml_error("a = 2024-05-01\nb = [07:32:00]\n") ==
        "a.toml:1:5: dates and times are not used here; write text\n"
        "  a = 2024-05-01\n"
        "      ^\n"
        "a.toml:2:6: dates and times are not used here; write text\n"
        "  b = [07:32:00]\n"
        "       ^");
}

TEST_CASE("TOML numbers must be finite and fit", "[config]") {
  CHECK(toml_error("a = nan") ==
        "a.toml:1:5: inf and nan are not accepted here\n  a = nan\n      ^");
  CHECK(toml_error("a = -inf") ==
        "a.toml:1:5: inf and nan are not accepted here\n  a = -inf\n      ^");
  CHECK(toml_error("a = 9223372036854775808") != "no error");
  CHECK(toml_error("a = 1e999") != "no error");
}

TEST_CASE("bytes that are not UTF-8 are refused at their place", "[config]") {
  CHECK(toml_error("a = 1\nb = \"\xff\"\n") ==
        "a.toml:2:6: not valid UTF-8 text\n"
        "  b = \"?\"\n"
        "       ^");
  CHECK(toml_error("\xc3") == "a.toml:1:1: not valid UTF-8 text\n  ?\n  ^");
  CHECK(toml_error("\xed\xa0\x80") != "no error");  // half of a surrogate pair
  CHECK(toml_error("\xc0\x80") != "no error");      // an overlong zero
}

TEST_CASE("text nested a thousand levels deep is refused, however it is written", "[config]") {
  for (const std::string& text :
       {"a = " + repeated("[", 1000), "a = " + repeated("{b=", 1000), repeated("a.", 1000) + "b=1",
        "[" + repeated("a.", 1000) + "b]", "[[" + repeated("a . ", 1000) + "b]]",
        repeated("\"a\".", 1000) + "b=1",
        "x = {c = \"\"\"q\"\"\"\", " + repeated("a.", 1000) + "b=1}"}) {
    CAPTURE(text.substr(0, 10));
    CHECK(toml_error(text).find(": nested deeper than 64 levels\n") != std::string::npos);
  }
}

TEST_CASE("dots and brackets in strings, comments and long arrays are no nesting", "[config]") {
  const std::string dots = repeated(".[{", 100);
  CHECK(toml_error("a = \"" + dots + "\"") == "no error");
  CHECK(toml_error("a = '" + dots + "'") == "no error");
  CHECK(toml_error("a = \"\\\"" + dots + "\"") == "no error");
  CHECK(toml_error("a = '''" + dots + "'''") == "no error");
  CHECK(toml_error("a = \"\"\"\n" + dots + "\"\"\"") == "no error");
  CHECK(toml_error("# " + dots) == "no error");
  CHECK(toml_error("a = [" + repeated("1.5, ", 200) + "]") == "no error");
  CHECK(toml_error(repeated("[[a]]\nb.c = 1.5\n", 200)) == "no error");
}

}  // namespace
}  // namespace foretrain::config
