// What to buy next: gains of a made-up machine whose step time is known as a formula.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/elasticity.hpp"

#include <cmath>

#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

/// A step of 6 s compute, 3 s on the NIC and 1 s of latencies; the fullest GPU holds 0.9 of its
/// memory, without recomputation 1.5 of it in 8 s, with selective recomputation 1.2 in 9 s.
ScalePoint made_up(const std::vector<std::string>& sets, const std::string& what_if) {
  ScalePoint point;
  point.nodes = 4;
  point.gpus = 32;
  point.memory_use = 0.9;
  double step = 10;
  if (what_if == "flops=2x") {
    step = 7;  // 6 / 2 + 3 + 1
  } else if (what_if == "nic=2x") {
    step = 8.5;
  } else if (what_if == "latency=0.5x") {
    step = 9.5;
  } else if (what_if == "spine=2x") {
    point.refusal = "no spine";
  }
  if (sets == std::vector<std::string>{"training.recompute=none"}) {
    step = 8;
    point.memory_use = 1.5;
  } else if (sets == std::vector<std::string>{"training.recompute=selective"}) {
    step = 9;
    point.memory_use = 1.2;
  }
  point.step_time = Seconds(step);
  return point;
}

const Elasticity& row(const Elasticities& all, const std::string& number) {
  for (const Elasticity& each : all.rows) {
    if (each.number == number) {
      return each;
    }
  }
  throw std::runtime_error("no row " + number);
}

TEST_CASE("a gain is the change of the step time, an elasticity its logarithmic slope", "[study]") {
  const Elasticities all = elasticities(Recompute::full, 2, made_up);
  CHECK(all.rows.size() == elasticity_rows().size());
  CHECK_THAT(row(all, "GPU FLOP/s").change, WithinAbs(-0.3, 1e-12));
  CHECK_THAT(row(all, "GPU FLOP/s").elasticity, WithinRel(std::log(0.7) / std::log(2.0), 1e-12));
  CHECK_THAT(row(all, "NIC").change, WithinAbs(-0.15, 1e-12));
  // Half of the latencies save 5 %: the step grows with them, so their elasticity is positive.
  CHECK_THAT(row(all, "latencies").elasticity, WithinRel(std::log(0.95) / std::log(0.5), 1e-12));
  CHECK(row(all, "HBM rate").change == 0);
  CHECK(row(all, "spine").refusal == "no spine");
}

TEST_CASE("the largest gain stands first, what the hardware lacks last", "[study]") {
  const Elasticities all = elasticities(Recompute::full, 1, made_up);
  CHECK(all.rows[0].number == "GPU FLOP/s");  // -30 %
  CHECK(all.rows[1].number == "HBM size");    // -20 %
  CHECK(all.rows[2].number == "NIC");         // -15 %
  CHECK(all.rows[3].number == "latencies");   // -5 %
  CHECK(all.rows.back().number == "spine");
  const std::string text = elasticity_text(all);
  CHECK(
      text.starts_with("what to buy next at 4 nodes (32 GPUs, 10.0000 s a step), one at a time\n"
                       "  GPU FLOP/s +100 %     -30.0 %   elasticity -0.51\n"
                       "  HBM size +100 %       -20.0 %   recompute = \"none\" would fit\n"));
  CHECK(text.ends_with("  not here: spine\n"));
  const std::string csv = elasticities_csv(all);
  CHECK(
      csv.starts_with("nodes,gpus,what_if,hardware,step_time_s,change,elasticity,possible,refused\n"
                      "4,32,,as it is,10,0,,,\n"
                      "4,32,flops=2x,GPU FLOP/s +100 %,7,-0.3"));
  CHECK(csv.find("\"recompute = \"\"none\"\" would fit\",\n") != std::string::npos);
  CHECK(csv.ends_with("4,32,spine=2x,spine,,,,,no spine\n"));
}

TEST_CASE("more memory is worth the cheapest recomputation that it alone holds", "[study]") {
  const auto memory = [](Recompute recompute, double now, double none, double selective) {
    const auto predict = [=](const std::vector<std::string>& sets, const std::string& what_if) {
      ScalePoint point = made_up(sets, what_if);
      point.memory_use = sets.empty() ? now : sets[0].ends_with("none") ? none : selective;
      return point;
    };
    return row(elasticities(recompute, 1, predict), "HBM size");
  };
  CHECK(memory(Recompute::full, 0.9, 1.5, 1.2).possible == "recompute = \"none\" would fit");
  CHECK_THAT(memory(Recompute::full, 0.9, 1.5, 1.2).change, WithinAbs(-0.2, 1e-12));
  CHECK(memory(Recompute::full, 0.9, 2.5, 1.2).possible == "recompute = \"selective\" would fit");
  CHECK_THAT(memory(Recompute::full, 0.9, 2.5, 1.2).change, WithinAbs(-0.1, 1e-12));
  CHECK(memory(Recompute::full, 0.9, 2.5, 0.95).possible ==
        "recompute = \"selective\" fits already: -10.0 %");
  CHECK(memory(Recompute::full, 0.9, 2.5, 0.95).change == 0);  // no gain of the memory's
  CHECK(memory(Recompute::full, 0.9, 2.5, 2.2).possible == "no cheaper recomputation would fit");
  CHECK(has(memory(Recompute::none, 0.9, 1, 1).possible, "recomputes nothing"));
  CHECK(memory(Recompute::full, 1.9, 3, 2.5).possible ==
        "the run would fit, which it does not now");
}

TEST_CASE("a size that cannot be simulated has no next purchase", "[study]") {
  const Elasticities all = elasticities(Recompute::none, 1, [](const auto&, const std::string&) {
    ScalePoint point;
    point.nodes = 3;
    point.refusal = "layers do not divide";
    return point;
  });
  CHECK(all.rows.empty());
  CHECK(elasticity_text(all) ==
        "what to buy next: 3 nodes cannot be simulated: layers do not divide\n");
  CHECK(elasticities_csv(all).ends_with("\n3,0,,,,,,,layers do not divide\n"));
}

}  // namespace
}  // namespace foretrain::testing
