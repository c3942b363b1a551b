// The points of a sweep, by number, and its parts.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/grid.hpp"

#include <set>

#include "sim/core/error.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {
namespace {

using sweep::Assignment;
using sweep::Grid;
using sweep::parse_grid;
using Values = std::vector<std::string>;

Values values_of(const std::string& text) {
  return parse_grid({text}, {}).axes().front().values.front();
}

std::string refusal_of(const std::vector<std::string>& varied,
                       const std::vector<std::string>& zipped = {}) {
  return error_of([&] { return parse_grid(varied, zipped); });
}

}  // namespace

TEST_CASE("the points of a grid are its combinations, the last axis fastest", "[study]") {
  const Grid grid = parse_grid({"a.x=1,2", "b=p,q,r"}, {"c=7,8", "d.e.f=u,v"});
  REQUIRE(grid.size() == 2 * 3 * 2);
  CHECK(grid.keys() == Values{"a.x", "b", "c", "d.e.f"});
  std::uint64_t index = 0;
  for (const char* a : {"1", "2"}) {
    for (const char* b : {"p", "q", "r"}) {
      for (const auto& [c, d] : {std::pair{"7", "u"}, std::pair{"8", "v"}}) {
        CHECK(grid.point(index++) ==
              std::vector<Assignment>{{"a.x", a}, {"b", b}, {"c", c}, {"d.e.f", d}});
      }
    }
  }
}

TEST_CASE("values are listed, doubled or stepped, and quotes and brackets keep their commas",
          "[study]") {
  CHECK(values_of("k=1,2,4") == Values{"1", "2", "4"});
  CHECK(values_of("k=1..8") == Values{"1", "2", "4", "8"});
  CHECK(values_of("k=3..20") == Values{"3", "6", "12"});
  CHECK(values_of("k=5..5") == Values{"5"});
  CHECK(values_of("k=4..13+4") == Values{"4", "8", "12"});
  CHECK(values_of("k=0..2+1,8") == Values{"0", "1", "2", "8"});
  CHECK(values_of("k = 80 GB , 40 GB ") == Values{"80 GB", "40 GB"});
  CHECK(values_of(R"(k="a,b",'c,d',[1,2],{x=1,y=[2,3]})") ==
        Values{"\"a,b\"", "'c,d'", "[1,2]", "{x=1,y=[2,3]}"});
  CHECK(values_of(R"(k="a\",b",c)") == Values{R"("a\",b")", "c"});
  CHECK(values_of("model=../x.toml,../y.toml") == Values{"../x.toml", "../y.toml"});
  CHECK(values_of("k=9223372036854775806..9223372036854775807+5") == Values{"9223372036854775806"});
}

TEST_CASE("a grid is refused with what was expected", "[study]") {
  CHECK(has(refusal_of({}), "expected a key to vary"));
  CHECK(has(refusal_of({"parallel.tensor"}), "expected KEY=VALUES"));
  CHECK(has(refusal_of({"=1,2"}), "expected KEY=VALUES"));
  CHECK(has(refusal_of({"k="}), "k: expected values such as 1,2,4"));
  CHECK(has(refusal_of({"k=1,,2"}), "got an empty one"));
  CHECK(has(refusal_of({"k=1,2,1"}), "the value 1 is there twice"));
  CHECK(has(refusal_of({"k=8..2"}), "'8..2' is no range"));
  CHECK(has(refusal_of({"k=0..8"}), "'0..8' is no range"));  // zero does not double
  CHECK(has(refusal_of({"k=1..8+0"}), "'1..8+0' is no range"));
  CHECK(has(refusal_of({"k=1", "k=2"}), "k: is varied twice"));
  CHECK(has(refusal_of({"k=1"}, {"k=2"}), "k: is varied twice"));
  CHECK(has(refusal_of({}, {"a=1,2", "b=1,2,3"}), "b: has 3 values, but a has 2"));
  CHECK(has(refusal_of({"k=1..99999999+1"}), "more than 100000 values"));
  const std::string thousand = "=1..1000+1";
  CHECK(refusal_of({"a" + thousand, "b" + thousand, "c" + thousand}) == "");
  CHECK(has(refusal_of({"a" + thousand, "b" + thousand, "c" + thousand, "d=1,2"}),
            "more than 1000000000 points"));
}

TEST_CASE("a grid survives being written down", "[study]") {
  const Grid grid = parse_grid({R"(a=1,"x,y",[1,2])", "b=1..4"}, {"c=1,2", "d=3,4"});
  const Grid again = sweep::grid_from_json(grid.to_json());
  CHECK(again.to_json() == grid.to_json());
  REQUIRE(again.size() == grid.size());
  for (std::uint64_t i = 0; i < grid.size(); ++i) {
    CHECK(again.point(i) == grid.point(i));
  }
}

TEST_CASE("shards part the points evenly, and each point is in one", "[study]") {
  for (std::uint64_t points = 0; points < 20; ++points) {
    for (std::uint64_t n = 1; n <= 7; ++n) {
      std::uint64_t sum = 0;
      for (std::uint64_t i = 1; i <= n; ++i) {
        const std::uint64_t size = sweep::Shard{i, n}.size(points);
        CHECK((size == points / n || size == points / n + 1));
        sum += size;
      }
      CHECK(sum == points);
    }
  }
}

TEST_CASE("a shard is written as number of count, and nothing else is one", "[study]") {
  CHECK(sweep::parse_shard("2/8").number == 2);
  CHECK(sweep::parse_shard("8/8").count == 8);
  for (const char* text : {"3/2", "0/2", "1", "/2", "1/", "a/b", "1/2/3", "-1/2", "", "1 / 2"}) {
    CHECK_THROWS_AS(sweep::parse_shard(text), ConfigError);
  }
}

}  // namespace foretrain::testing
