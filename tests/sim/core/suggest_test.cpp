// Edit distances counted by hand, and which name is near enough to be suggested.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/suggest.hpp"

#include <string>
#include <vector>

#include "tests/support/catch.hpp"

namespace foretrain {
namespace {

TEST_CASE("the edit distance counts insertions, deletions, substitutions and swaps", "[core]") {
  CHECK(edit_distance("tensor", "tensor", 9) == 0);
  CHECK(edit_distance("tensr", "tensor", 9) == 1);    // insert o
  CHECK(edit_distance("ttensor", "tensor", 9) == 1);  // delete t
  CHECK(edit_distance("tenser", "tensor", 9) == 1);   // e for o
  CHECK(edit_distance("memroy", "memory", 9) == 1);   // swap r and o
  CHECK(edit_distance("kitten", "sitting", 9) == 3);  // s for k, i for e, insert g
  CHECK(edit_distance("", "abc", 9) == 3);
  CHECK(edit_distance("abc", "", 9) == 3);
}

TEST_CASE("the edit distance is the same both ways", "[core]") {
  CHECK(edit_distance("pipeline", "pipelin", 9) == edit_distance("pipelin", "pipeline", 9));
  CHECK(edit_distance("abcd", "acbd", 9) == edit_distance("acbd", "abcd", 9));
}

TEST_CASE("the edit distance stops at its limit", "[core]") {
  CHECK(edit_distance("aaaa", "bbbb", 2) == 2);
  CHECK(edit_distance("a", "aaaaaaaa", 3) == 3);
  CHECK(edit_distance("a", "a", 0) == 0);
}

TEST_CASE("the nearest name is within a third of the letters", "[core]") {
  const std::vector<std::string> names = {"memory", "memory_rate", "name", "launch"};
  CHECK(nearest("memroy", names) == "memory");
  CHECK(nearest("memory_rat", names) == "memory_rate");
  CHECK(nearest("lunch", names) == "launch");
  CHECK(nearest("peak", names) == std::nullopt);
  CHECK(nearest("", names) == std::nullopt);
}

TEST_CASE("short names may differ by one letter", "[core]") {
  const std::vector<std::string> names = {"tp", "pp"};
  CHECK(nearest("t", names) == "tp");
  CHECK(nearest("xx", names) == std::nullopt);
  CHECK(nearest("x", std::vector<std::string>{"y"}) == std::nullopt);
}

TEST_CASE("the first of equally near names wins", "[core]") {
  const std::vector<std::string> names = {"bat", "cat", "hat"};
  CHECK(nearest("rat", names) == "bat");
}

TEST_CASE("nothing is near when there are no names", "[core]") {
  CHECK(nearest("x", {}) == std::nullopt);
}

}  // namespace
}  // namespace foretrain
