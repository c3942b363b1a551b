// How a diagnostic reads, and whose fault an exception says it is.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/error.hpp"

#include <string>

#include "tests/support/catch.hpp"

namespace foretrain {
namespace {

TEST_CASE("a diagnostic shows its place, its key, the line and a caret", "[core]") {
  const Diagnostic diagnostic = {"run.toml",          3,           10, "parallel.tensor",
                                 "expected 1, got 0", "tensor = 0"};
  CHECK(diagnostic.text() ==
        "run.toml:3:10: parallel.tensor: expected 1, got 0\n"
        "  tensor = 0\n"
        "           ^");
}

TEST_CASE("the caret line keeps tabs, so that it lines up under them", "[core]") {
  const Diagnostic diagnostic = {"a", 1, 4, "", "wrong", "\tx\ty"};
  CHECK(diagnostic.text() == "a:1:4: wrong\n  \tx\ty\n  \t \t^");
}

TEST_CASE("the caret counts characters, not bytes", "[core]") {
  // The first of the three characters is an a umlaut of two bytes.
  const Diagnostic diagnostic = {"a", 1, 3, "", "wrong", "\xc3\xa4 b"};
  CHECK(diagnostic.text() == "a:1:3: wrong\n  \xc3\xa4 b\n    ^");
}

TEST_CASE("the caret may stand behind the end of the line", "[core]") {
  const Diagnostic diagnostic = {"a", 1, 4, "", "something is missing", "x"};
  CHECK(diagnostic.text() == "a:1:4: something is missing\n  x\n     ^");
}

TEST_CASE("a mistake of the file as a whole has no line", "[core]") {
  const Diagnostic diagnostic = {"a.toml", 0, 0, "", "cannot be opened", ""};
  CHECK(diagnostic.text() == "a.toml: cannot be opened");
  const Diagnostic nameless = {"", 0, 0, "", "no GPU is called 'x'", ""};
  CHECK(nameless.text() == "no GPU is called 'x'");
}

TEST_CASE("a configuration error says all its mistakes in order", "[core]") {
  const ConfigError error({{"a", 0, 0, "", "first", ""}, {"a", 0, 0, "k", "second", ""}});
  CHECK(std::string(error.what()) == "a: first\na: k: second");
  CHECK(error.diagnostics().size() == 2);
}

TEST_CASE("a broken invariant is called a bug and names its place", "[core]") {
  CHECK_NOTHROW([] { FORETRAIN_ASSERT(1 + 1 == 2, "sums work"); }());
  try {
    fail_assertion("x > 0", "x is positive", "file.cpp", 7);
  } catch (const InternalError& error) {
    CHECK(std::string(error.what()) == "file.cpp:7: x > 0: x is positive (a bug in foretrain)");
  }
  CHECK_THROWS_AS(ConfigError({}), InternalError);
}

}  // namespace
}  // namespace foretrain
