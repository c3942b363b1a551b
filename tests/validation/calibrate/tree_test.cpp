// SPDX-License-Identifier: Apache-2.0
// Trees edited by dotted keys.
#include "validation/calibrate/tree.hpp"

#include <string>

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using namespace validation;

TEST_CASE("a number is put before a table's sections, and a new table made for it", "[calibrate]") {
  config::Sources sources;
  config::Value root = config::parse_toml(sources, "t.toml", "a = 1\n\n[s]\nx = 1\n");
  put_key(root, "b", value_of(std::int64_t{2}));
  put_key(root, "s.y", sourced_value(value_of(0.5), "fitted", "a test"));
  put_key(root, "t.u.z", value_of(std::int64_t{3}));
  CHECK(config::to_toml(root) ==
        "a = 1\nb = 2\n\n[s]\nx = 1\ny = { value = 0.5, basis = \"fitted\", source = \"a test\" }\n"
        "\n[t.u]\nz = 3\n");
}

TEST_CASE("a key taken away takes tables that are empty then with it", "[calibrate]") {
  config::Sources sources;
  config::Value root = config::parse_toml(sources, "t.toml", "a = 1\n\n[s.t]\nx = 1\n");
  CHECK(find_key(root, "s.t.x") != nullptr);
  erase_key(root, "s.t.x");
  erase_key(root, "no.such.key");
  CHECK(find_key(root, "s") == nullptr);
  CHECK(config::to_toml(root) == "a = 1\n");
}

}  // namespace
}  // namespace foretrain::testing
