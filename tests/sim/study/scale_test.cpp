// Scaling studies: node counts as text, efficiency, limits and the knee.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/scale.hpp"

#include <csignal>

#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;
using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

/// A point of 8 GPUs per node with this many tokens/s per GPU.
ScalePoint point(std::int64_t nodes, double rate_per_gpu,
                 std::vector<std::pair<std::string, double>> shares = {}) {
  ScalePoint result;
  result.nodes = nodes;
  result.gpus = 8 * nodes;
  result.step_time = Seconds(1);
  result.tokens_per_second = rate_per_gpu * 8 * static_cast<double>(nodes);
  result.shares = std::move(shares);
  return result;
}

ScalePoint refused(std::int64_t nodes, const std::string& reason) {
  ScalePoint result;
  result.nodes = nodes;
  result.refusal = reason;
  return result;
}

std::string nodes_error(const std::string& nodes) {
  try {
    static_cast<void>(parse_nodes(nodes));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

using Numbers = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("node counts are listed, doubled, or both, in order and once each", "[study]") {
  CHECK(parse_nodes("1,2,4") == Numbers{1, 2, 4});
  CHECK(parse_nodes("12") == Numbers{12});
  CHECK(parse_nodes("2..64") == Numbers{2, 4, 8, 16, 32, 64});
  CHECK(parse_nodes("3..20") == Numbers{3, 6, 12});
  CHECK(parse_nodes("5..5") == Numbers{5});
  CHECK(parse_nodes("8,1..4,2,12") == Numbers{1, 2, 4, 8, 12});
  CHECK(parse_nodes("1..1000000").size() == 20);
}

TEST_CASE("node counts that are none are refused with what was expected", "[study]") {
  for (const char* text :
       {"",   ",",    "1,",   ",1",   "0",       "-1",      "1.5",
        "x",  "1,,2", "4..2", "1..",  "..4",     "1..2..4", "1...4",
        " 1", "1 ",   "1 2",  "0x10", "1000001", "1e3",     "99999999999999999999"}) {
    CHECK(nodes_error(text) ==
          "--nodes:1:1: expected node counts such as \"1,2,4\" or \"2..64\" (doubling), got \"" +
              std::string(text) + "\"");
  }
}

TEST_CASE("efficiency is the rate per GPU against the smallest size that ran", "[study]") {
  const auto rows =
      judge({refused(1, "too small"), point(2, 100), point(4, 90), point(8, 50)}, 0.8);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].efficiency == 0);
  CHECK_THAT(rows[1].efficiency, WithinRel(1.0, 1e-12));
  CHECK_THAT(rows[2].efficiency, WithinRel(0.9, 1e-12));
  CHECK_THAT(rows[3].efficiency, WithinRel(0.5, 1e-12));
}

TEST_CASE("the knee is the first size below the threshold, and there is one at most", "[study]") {
  const auto knees = [](const std::vector<ScaleRow>& rows) {
    Numbers nodes;
    for (const ScaleRow& row : rows) {
      if (row.is_knee) {
        nodes.push_back(row.point.nodes);
      }
    }
    return nodes;
  };
  const std::vector<ScalePoint> points = {point(1, 100), point(2, 85), point(4, 84), point(8, 90),
                                          point(16, 20)};
  CHECK(knees(judge(points, 0.85)) == Numbers{4});  // 85 % is not below 85 %
  CHECK(knees(judge(points, 0.5)) == Numbers{16});
  CHECK(knees(judge(points, 0.1)).empty());
  CHECK(judge({}, 0.85).empty());
}

TEST_CASE("what limits a size is the cause whose share has grown most", "[study]") {
  const auto rows =
      judge({point(1, 100, {{"compute", 0.9}, {"host", 0.1}}),
             point(2, 80, {{"compute", 0.7}, {"host", 0.12}, {"data communication", 0.18}}),
             point(4, 70, {{"compute", 0.5}, {"host", 0.4}, {"data communication", 0.1}}),
             point(8, 100, {{"compute", 0.9005}, {"host", 0.0995}})},
            0.85);
  CHECK(rows[0].limit == "-");
  CHECK(rows[1].limit == "data communication");  // grown by 0.18, the host by 0.02
  CHECK(rows[2].limit == "host");                // grown by 0.3
  CHECK(rows[3].limit == "compute");             // nothing else has grown
}

TEST_CASE("a study comes back from its workers as it was, in order", "[study]") {
  const auto points = scale({4, 1, 2}, 2, [](std::int64_t nodes) {
    if (nodes == 1) {
      return refused(nodes, "layers do not divide");
    }
    ScalePoint result = point(nodes, 0.1 + static_cast<double>(nodes), {{"compute", 1.0 / 3}});
    result.fits = nodes != 4;
    return result;
  });
  REQUIRE(points.size() == 3);
  CHECK(points[0].nodes == 4);
  CHECK(points[0].gpus == 32);
  CHECK(points[0].tokens_per_second == point(4, 4.1).tokens_per_second);
  CHECK(points[0].shares == std::vector<std::pair<std::string, double>>{{"compute", 1.0 / 3}});
  CHECK_FALSE(points[0].fits);
  CHECK(points[1].refusal == "layers do not divide");
  CHECK(points[2].nodes == 2);
  CHECK(points[2].is_valid());
}

TEST_CASE("a worker that dies costs its size only", "[study]") {
  const auto points = scale({1, 2}, 2, [](std::int64_t nodes) {
    if (nodes == 1) {
      ::raise(SIGKILL);
    }
    return point(nodes, 100);
  });
  CHECK(points[0].refusal == "the worker process died");
  CHECK(points[1].is_valid());
}

TEST_CASE("a study is printed as text, JSON and CSV", "[study]") {
  auto points =
      std::vector<ScalePoint>{point(1, 100), point(2, 50), refused(3, "it says \"no\", and why")};
  points[1].fits = false;
  const auto rows = judge(points, 0.85);
  const std::string text = scale_text(rows, 0.85);
  CHECK(text.find("<- knee (efficiency < 85 %)   does not fit in memory\n") != std::string::npos);
  CHECK(text.find("it says \"no\", and why\n") != std::string::npos);
  CHECK(scale_text(judge({point(1, 100)}, 0.85), 0.85)
            .ends_with("no knee: efficiency stays at or above 85 %\n"));

  const Json json = Json::parse(scale_json(rows, 0.85));
  CHECK(json.at("threshold") == 0.85);
  CHECK(json.at("points")[1].at("is_knee") == true);
  CHECK(json.at("points")[1].at("fits") == false);
  CHECK(json.at("points")[2].at("refused") == "it says \"no\", and why");

  CHECK(scale_csv(rows) ==
        "nodes,gpus,step_time_s,tokens_per_s_per_gpu,efficiency,limiting_resource,knee,fits,"
        "refused\n"
        "1,8,1,100,1,-,0,1,\n"
        "2,16,1,50,0.5,compute,1,0,\n"
        "3,0,,,,,,,\"it says \"\"no\"\", and why\"\n");
}

}  // namespace foretrain::testing
