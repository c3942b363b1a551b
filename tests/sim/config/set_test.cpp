// Assignments of the command line: what they set, and whole error texts.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>

#include "sim/config/value.hpp"
#include "tests/sim/config/reading.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

using testing::error_of;

/// The tree of `text` after the assignment, as TOML.
std::string after(std::string text, std::string_view assignment) {
  Sources sources;
  Value root = parse_toml(sources, "a.toml", std::move(text));
  apply_set(sources, root, assignment);
  return to_toml(root);
}

std::string error_after(const std::string& text, std::string_view assignment) {
  return error_of([&] { (void)after(text, assignment); });
}

TEST_CASE("an assignment replaces a value where it stands", "[config]") {
  CHECK(after("a = 1\nb = 2\n", "a=7") == "a = 7\nb = 2\n");
  CHECK(after("[parallel]\ntensor = 1\nzero = 0\n", "parallel.tensor=8") ==
        "[parallel]\ntensor = 8\nzero = 0\n");
}

TEST_CASE("an assignment adds keys and the tables on the way", "[config]") {
  CHECK(after("a = 1\n", "b.c.d=2") == "a = 1\n\n[b.c]\nd = 2\n");
}

TEST_CASE("the value of an assignment is TOML", "[config]") {
  CHECK(after("", "a=-3") == "a = -3\n");
  CHECK(after("", "a=1e5") == "a = 1e+05\n");
  CHECK(after("", "a=true") == "a = true\n");
  CHECK(after("", "a=\"x y\"") == "a = \"x y\"\n");
  CHECK(after("", "a='x'") == "a = \"x\"\n");
  CHECK(after("", "a=[1, 2]") == "a = [1, 2]\n");
  CHECK(after("", "a={ b = 1 }") == "[a]\nb = 1\n");
  CHECK(after("", "a = 3 ") == "a = 3\n");
}

TEST_CASE("words that are no TOML are text, with no quotes needed", "[config]") {
  for (const std::string word : {"fp16", "1f1b", "80 GB", "dgx-a100-40gb", "a/b.toml", "2024-05-01",
                                 "nan", "a=b", "1e999", "x # y"}) {
    CHECK(after("", "a=" + word) == "a = \"" + word + "\"\n");
  }
}

TEST_CASE("a mistake in an assigned value is reported in the assignment", "[config]") {
  CHECK(error_of([] {
          Sources sources;
          Value root = parse_toml(sources, "a.toml", "[parallel]\ntensor = 1\n");
          apply_set(sources, root, "parallel.tensor=fp16");
          Diagnostics diagnostics;
          Reader reader(root, "", diagnostics);
          (void)reader.child("parallel").count("tensor", {1, 8});
          diagnostics.throw_if_any();
        }) ==
        "--set parallel.tensor=fp16:1:17: parallel.tensor: expected a whole number from 1 to 8, "
        "got \"fp16\" (text)\n"
        "  parallel.tensor=fp16\n"
        "                  ^");
}

TEST_CASE("an unknown assigned key is reported at the key", "[config]") {
  CHECK(error_of([] {
          Sources sources;
          Value root = parse_toml(sources, "a.toml", "");
          apply_set(sources, root, "a.b={ c = 1 }");
          Diagnostics diagnostics;
          Reader reader(root, "", diagnostics);
          Reader b = reader.child("a").child("b");
          (void)b.get<std::int64_t>("d", 0);
          b.finish();
          diagnostics.throw_if_any();
        }) ==
        "--set a.b={ c = 1 }:1:7: a.b: unknown key 'c'; the keys here are d\n"
        "  a.b={ c = 1 }\n"
        "        ^");
}

TEST_CASE("an assignment without a key or an equals sign is refused", "[config]") {
  CHECK(error_after("", "tensor") ==
        "--set tensor:1:1: expected KEY=VALUE with a key such as parallel.tensor\n"
        "  tensor\n"
        "  ^");
  CHECK(error_after("", "=3") ==
        "--set =3:1:1: expected KEY=VALUE with a key such as parallel.tensor\n"
        "  =3\n"
        "  ^");
  CHECK(error_after("", "a..b=3") ==
        "--set a..b=3:1:3: expected KEY=VALUE with a key such as parallel.tensor\n"
        "  a..b=3\n"
        "    ^");
  CHECK(error_after("", "") == "--set :1:1: expected KEY=VALUE with a key such as parallel.tensor");
}

TEST_CASE("an assignment without a value is refused", "[config]") {
  CHECK(error_after("", "a=") ==
        "--set a=:1:3: expected a value after '='; write \"\" for empty text\n"
        "  a=\n"
        "    ^");
}

TEST_CASE("what begins like TOML must be TOML", "[config]") {
  const std::string error = error_after("", "a=[1, 2");
  CHECK(error.starts_with("--set a=[1, 2:1:8: not valid TOML: "));
}

TEST_CASE("an assignment cannot go through a number or an array", "[config]") {
  CHECK(error_after("a = 3\n", "a.b=1") ==
        "--set a.b=1:1:1: 'a' is 3 (a whole number), not a table; set it as a whole\n"
        "  a.b=1\n"
        "  ^");
  CHECK(error_after("[[a]]\n", "a.b=1") ==
        "--set a.b=1:1:1: 'a' is an array, not a table; set it as a whole\n"
        "  a.b=1\n"
        "  ^");
}

TEST_CASE("an assignment is one line of valid text", "[config]") {
  CHECK(error_after("", "a=1\nb=2") ==
        "--set a=1?b=2: an assignment is one line without control characters");
  CHECK(error_after("", "a=\xff") ==
        "--set a=?:1:3: not valid UTF-8 text\n"
        "  a=?\n"
        "    ^");
}

}  // namespace
}  // namespace foretrain::config
