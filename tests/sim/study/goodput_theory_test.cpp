// Simulated runs against renewal theory, Daly's closed form, and what must be monotone.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "sim/study/goodput/estimate.hpp"
#include "sim/study/goodput/formulas.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::goodput::testing {
namespace {

/// 64 parts, together one failure every `between`; everything else as the arguments say.
Job job_of(const Renewal& renewal, double duration) {
  Job job;
  job.nodes = 8;
  job.spares = 1000;
  job.parts.push_back({64, 64.0 * renewal.between_failures, 1, {}, 1, Seconds(0)});
  job.duration = Seconds(duration);
  job.detection = renewal.recovery / 3;
  job.restart = renewal.recovery * (2.0 / 3);
  job.checkpointing = {renewal.interval, renewal.stall, renewal.stall};
  return job;
}

Estimate effective(const Job& job, std::size_t runs = 300) {
  return estimate_of(live_often(job, 7, runs), [](const Tally& t) { return t.effective(); });
}

Estimate failures(const Job& job, std::size_t runs) {
  return estimate_of(live_often(job, 11, runs),
                     [](const Tally& t) { return static_cast<double>(t.num_failures()); });
}

TEST_CASE("with exponential failures the runs come to Daly's exact efficiency", "[study]") {
  const std::vector<Renewal> cases = {
      {Seconds(1000), Seconds(30), Seconds(300), Seconds(20'000)},
      {Seconds(1000), Seconds(30), Seconds(0), Seconds(20'000)},   // nothing but recomputed work
      {Seconds(400), Seconds(100), Seconds(900), Seconds(3000)},   // first order is 9 points off
      {Seconds(5000), Seconds(0), Seconds(100), Seconds(10'000)},  // free checkpoints
  };
  for (const Renewal& renewal : cases) {
    const Estimate simulated = effective(job_of(renewal, 2e6));
    INFO("interval " << renewal.interval.value << ", stall " << renewal.stall.value << ": "
                     << simulated.mean << " +- " << simulated.half_width);
    CHECK(simulated.half_width < 0.003);
    // Two half-widths are four standard errors.
    CHECK_THAT(simulated.mean, WithinAbs(daly_efficiency(renewal), 2 * simulated.half_width));
  }
}

TEST_CASE("with rare failures the runs come to the first order of Young and Daly, and to Meta's",
          "[study]") {
  const Renewal renewal{Seconds(2000), Seconds(10), Seconds(200), Seconds(200'000)};
  const Estimate simulated = effective(job_of(renewal, 2e7), 100);
  CHECK_THAT(simulated.mean,
             WithinAbs(first_order_efficiency(renewal), 2 * simulated.half_width + 1e-4));
  CHECK_THAT(simulated.mean, WithinAbs(kokolis_ettr(renewal), 2 * simulated.half_width + 1e-4));
}

TEST_CASE("exponential failures are a Poisson process", "[study]") {
  // Mean and variance of the count are both T / M = 500.
  Job job = job_of({Seconds(1000), Seconds(0), Seconds(0), Seconds(1000)}, 500'000);
  const std::vector<Tally> tallies = live_often(job, 3, 400);
  double mean = 0;
  double squares = 0;
  for (const Tally& tally : tallies) {
    const double count = static_cast<double>(tally.num_failures());
    mean += count / 400;
    squares += count * count / 400;
  }
  CHECK_THAT(mean, WithinAbs(500, 4 * std::sqrt(500.0 / 400)));
  // The variance of a variance of n normal numbers is 2 / n of its square.
  CHECK_THAT(squares - mean * mean, WithinAbs(500, 4 * 500 * std::sqrt(2.0 / 400)));
}

TEST_CASE("Weibull failures are as many as renewal theory has them", "[study]") {
  // Long after a start with new parts, each has failed t / m + (c^2 - 1) / 2 times, c^2 = variance
  // / m^2 (Cox, "Renewal theory", 1962, section 4.2).
  for (const double shape : {0.7, 1.5, 3.0}) {
    Job job = job_of({Seconds(1000), Seconds(0), Seconds(0), Seconds(1000)}, 400'000);
    job.parts[0].shape = shape;
    const double g1 = std::tgamma(1 + 1 / shape);
    const double square_of_variation = std::tgamma(1 + 2 / shape) / (g1 * g1) - 1;
    const double expected = 400 + 64 * (square_of_variation - 1) / 2;
    const Estimate counted = failures(job, 200);
    INFO("shape " << shape << ": " << counted.mean << " +- " << counted.half_width);
    CHECK_THAT(counted.mean, WithinAbs(expected, 2 * counted.half_width));
    CHECK(std::abs(expected - 400) > 3 * counted.half_width);  // the second term is seen
  }
}

TEST_CASE("a part lives on from the age that it has", "[study]") {
  // Survival from a to a + x: exp((a / s)^k - ((a + x) / s)^k).
  constexpr double kShape = 0.5;
  constexpr double kMean = 1000;
  const double scale = kMean / std::tgamma(1 + 1 / kShape);
  const auto hazard = [&](double time) { return std::pow(time / scale, kShape); };
  for (const double age : {0.0, 500.0, 5000.0}) {
    int alive = 0;
    constexpr int kDraws = 4000;
    for (std::uint64_t run = 0; run < kDraws; ++run) {
      const FailureClock clock({1, Seconds(kMean), kShape, Seconds(age), 1, {}}, {5, run}, 0);
      alive += clock.next() > Seconds(700) ? 1 : 0;
    }
    const double expected = std::exp(hazard(age) - hazard(age + 700));
    INFO("age " << age);
    CHECK_THAT(alive / static_cast<double>(kDraws),
               WithinAbs(expected, 4 * std::sqrt(expected * (1 - expected) / kDraws)));
  }
}

TEST_CASE("old parts of falling hazard fail less often than new ones", "[study]") {
  Job job = job_of({Seconds(1000), Seconds(0), Seconds(0), Seconds(1000)}, 100'000);
  job.parts[0].shape = 0.6;
  const double young = failures(job, 100).mean;
  job.parts[0].age = Seconds(1e6);
  CHECK(failures(job, 100).mean < 0.9 * young);
}

TEST_CASE("slow spells take the share of time that a queue of endless servers is busy", "[study]") {
  Job job = job_of({Seconds(1000), Seconds(0), Seconds(0), kNever}, 1e6);
  job.parts.clear();
  job.stragglers = {Seconds(3000), Seconds(2000), 1.25};
  const Estimate simulated = effective(job);
  const double expected = 1 - (1 - 1 / 1.25) * busy_share(Seconds(2000), Seconds(3000));
  CHECK(simulated.half_width < 0.002);
  CHECK_THAT(simulated.mean, WithinAbs(expected, 2 * simulated.half_width));
}

TEST_CASE("the search finds an interval as good as Daly's", "[study]") {
  for (const double stall : {3.0, 60.0}) {
    const Renewal renewal{Seconds(1), Seconds(stall), Seconds(300), Seconds(11'000)};
    const Job job = job_of(renewal, 2e6);
    const Seconds daly = daly_interval(renewal.stall, renewal.between_failures);
    const Seconds found = search_interval(job, 1, 60);
    INFO("found " << found.value << ", Daly " << daly.value);
    CHECK_THAT(found.value, WithinRel(daly.value, 0.2));
    Renewal at = renewal;
    at.interval = found;
    Renewal best = renewal;
    best.interval = daly;
    CHECK_THAT(daly_efficiency(at), WithinAbs(daly_efficiency(best), 5e-4));
  }
}

TEST_CASE("more of what costs time never helps", "[study]") {
  const Renewal renewal{Seconds(600), Seconds(20), Seconds(200), Seconds(5000)};
  Job base = job_of(renewal, 1e6);
  base.spares = 2;
  base.parts[0].repair = Seconds(3000);
  const double before = effective(base, 100).mean;
  const auto worse = [&](auto change) {
    Job job = base;
    change(job);
    return effective(job, 100).mean;
  };
  CHECK(worse([](Job& job) { job.parts[0].mean_time = job.parts[0].mean_time / 1.2; }) < before);
  CHECK(worse([](Job& job) { job.parts.push_back(job.parts[0]); }) < before);
  CHECK(worse([](Job& job) { job.detection += Seconds(60); }) < before);
  CHECK(worse([](Job& job) { job.restart += Seconds(60); }) < before);
  CHECK(worse([](Job& job) { job.swap += Seconds(60); }) < before);
  CHECK(worse([](Job& job) { job.parts[0].repair += Seconds(3000); }) < before);
  CHECK(worse([](Job& job) {
          job.checkpointing.write += Seconds(20);
          job.checkpointing.stall += Seconds(20);
        }) < before);
  CHECK(worse([](Job& job) { job.stragglers = {Seconds(1e4), Seconds(1000), 1.1}; }) < before);
  CHECK(worse([](Job& job) { job.maintenance = {Seconds(1e5), Seconds(1000)}; }) < before);
}

TEST_CASE("more spares never hurt and at last make no difference", "[study]") {
  Job job = job_of({Seconds(600), Seconds(20), Seconds(200), Seconds(4000)}, 1e6);
  job.parts[0].repair = Seconds(6000);  // one and a half nodes are in repair on average
  double last = 0;
  for (const std::int64_t spares : {0, 1, 2, 4, 8, 30}) {
    job.spares = spares;
    const double now = effective(job, 100).mean;
    INFO(spares << " spares");
    CHECK(now >= last);
    last = now;
  }
  job.spares = 60;
  CHECK(effective(job, 100).mean == last);
}

TEST_CASE("doing without a node beats waiting long for it", "[study]") {
  Job job = job_of({Seconds(600), Seconds(20), Seconds(200), Seconds(20'000)}, 1e6);
  job.spares = 0;
  job.parts[0].repair = Seconds(20'000);
  const double waiting = effective(job, 60).mean;
  job.shrunk_rates = {7.0 / 8};
  const double one = effective(job, 60).mean;
  job.shrunk_rates = {7.0 / 8, 6.0 / 8, 5.0 / 8, 4.0 / 8};
  const double four = effective(job, 60).mean;
  CHECK(one > waiting + 0.1);
  CHECK(four > one);
}

TEST_CASE("an estimate has the half-width of Student's t", "[study]") {
  const Estimate one = estimate({5});
  CHECK(one.mean == 5);
  CHECK(one.half_width == 0);
  // 1 to 9: mean 5, standard deviation sqrt(7.5); t with 8 degrees is 2.306.
  const Estimate nine = estimate({1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK_THAT(nine.mean, WithinRel(5.0, 1e-12));
  CHECK_THAT(nine.half_width, WithinRel(2.306 * std::sqrt(7.5 / 9), 1e-3));
  CHECK_THAT(nine.low, WithinRel(1.4, 1e-12));
  CHECK_THAT(nine.high, WithinRel(8.6, 1e-12));
  // Quantiles from tables.
  CHECK_THAT(student_t(1), WithinAbs(12.706, 1e-3));
  CHECK_THAT(student_t(5), WithinAbs(2.571, 5e-3));
  CHECK_THAT(student_t(30), WithinAbs(2.042, 1e-3));
  CHECK_THAT(student_t(199), WithinAbs(1.972, 1e-3));
}

}  // namespace
}  // namespace foretrain::goodput::testing
