// One run, followed by hand: parts of an extreme Weibull shape fail like clockwork.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numeric>

#include "sim/study/goodput/life.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::goodput::testing {
namespace {

// The quantile function of this shape is flat to a few parts in 1e8.
constexpr double kClockwork = 1e9;
constexpr double kTolerance = 1e-4;  // seconds, of thousands

Parts every(double seconds, Seconds repair = Seconds(0)) {
  return {1, Seconds(seconds), kClockwork, {}, 1, repair};
}

/// 300 s of work, 20 s of checkpoint; 50 s until a failure is noticed, 30 s to restart.
Job job_of(std::vector<Parts> parts, double duration) {
  Job job;
  job.parts = std::move(parts);
  job.nodes = 4;
  job.spares = 100;
  job.duration = Seconds(duration);
  job.detection = Seconds(50);
  job.restart = Seconds(30);
  job.checkpointing = {Seconds(300), Seconds(20), Seconds(20)};
  return job;
}

void check(const Tally& tally, Loss loss, double seconds) {
  INFO(name_of(loss));
  CHECK_THAT(tally.lost[static_cast<std::size_t>(loss)].value, WithinAbs(seconds, kTolerance));
}

double sum(const Tally& tally) {
  return std::accumulate(tally.lost.begin(), tally.lost.end(), tally.useful).value;
}

TEST_CASE("without failures what is left is one less the share of checkpoints", "[study]") {
  Job job = job_of({}, 320 * 1000);
  const Tally tally = live(job, {1, 1});
  CHECK_THAT(tally.effective(), WithinRel(300.0 / 320.0, 1e-12));
  check(tally, Loss::checkpoints, 20 * 1000);
  CHECK(tally.is_finished);
  CHECK(tally.num_failures() == 0);
}

TEST_CASE("a run of given work ends when it is done, without a checkpoint after it", "[study]") {
  Job job = job_of({}, 0);
  job.duration = kNever;
  job.work = Seconds(3000);
  const Tally tally = live(job, {1, 1});
  CHECK(tally.useful == Seconds(3000));
  CHECK_THAT(tally.wall.value, WithinAbs(3000 + 9 * 20, kTolerance));  // the tenth is not needed
  CHECK(tally.is_finished);
}

TEST_CASE("work since the last checkpoint is computed again", "[study]") {
  // 300 + 20, 620 + 20, 940 + 20, 40 s more: struck at 1000; noticed at 1050, on again at 1080.
  const Tally tally = live(job_of({every(1000)}, 1080), {1, 1});
  CHECK_THAT(tally.useful.value, WithinAbs(900, kTolerance));
  check(tally, Loss::checkpoints, 60);
  check(tally, Loss::recomputed, 40);
  check(tally, Loss::detection, 50);
  check(tally, Loss::restart, 30);
  check(tally, Loss::replacement, 0);
  CHECK(tally.failures == std::vector<std::int64_t>{1});
}

TEST_CASE("a checkpoint that is struck is worth nothing", "[study]") {
  // The third is written from 940 to 960, struck at 950.
  const Tally tally = live(job_of({every(950)}, 1030), {1, 1});
  CHECK_THAT(tally.useful.value, WithinAbs(600, kTolerance));
  check(tally, Loss::checkpoints, 50);
  check(tally, Loss::recomputed, 300);
}

TEST_CASE("an asynchronous checkpoint counts when it is written", "[study]") {
  // Begun at 300, 610, 920, written 200 s later; struck at 1000, when the second one is safe.
  Job job = job_of({every(1000)}, 1080);
  job.checkpointing = {Seconds(300), Seconds(200), Seconds(10)};
  const Tally tally = live(job, {1, 1});
  CHECK_THAT(tally.useful.value, WithinAbs(600, kTolerance));
  check(tally, Loss::checkpoints, 30);
  check(tally, Loss::recomputed, 370);
}

TEST_CASE("an asynchronous checkpoint waits for the one before it", "[study]") {
  // Written for 400 s, wanted every 310: from the second on each waits until 400 s after the last.
  Job job = job_of({}, 300 + 400 * 10);
  job.checkpointing = {Seconds(300), Seconds(400), Seconds(10)};
  const Tally tally = live(job, {1, 1});
  CHECK_THAT(tally.useful.value, WithinAbs(300 + 300 * 10, kTolerance));
  check(tally, Loss::checkpoints, 100 * 10);
}

TEST_CASE("a recovery that is struck begins again", "[study]") {
  const Tally tally = live(job_of({every(1000), every(1020)}, 1100), {1, 1});
  check(tally, Loss::detection, 20 + 50);
  check(tally, Loss::restart, 30);
  CHECK(tally.failures == std::vector<std::int64_t>{1, 1});
}

TEST_CASE("a part may be slow to be noticed", "[study]") {
  Parts silent = every(1000);
  silent.detection = Seconds(400);
  check(live(job_of({silent}, 1430), {1, 1}), Loss::detection, 400);
}

TEST_CASE("without spares a job waits for the repair", "[study]") {
  Job job = job_of({every(1000, Seconds(500))}, 1600);
  job.spares = 0;
  job.swap = Seconds(7);
  const Tally tally = live(job, {1, 1});
  // Noticed at 1050, repaired at 1500, swapped at 1507, on at 1537, 63 s more.
  check(tally, Loss::replacement, 450 + 7);
  check(tally, Loss::restart, 30);
  CHECK_THAT(tally.useful.value, WithinAbs(963, kTolerance));

  job.spares = 1;
  check(live(job, {1, 1}), Loss::replacement, 7);
}

TEST_CASE("a node that is never repaired ends a job without spares", "[study]") {
  Job job = job_of({every(1000, kNever)}, 5000);
  job.spares = 0;
  const Tally tally = live(job, {1, 1});
  CHECK_THAT(tally.useful.value, WithinAbs(900, kTolerance));
  CHECK(tally.is_finished);  // the duration is over

  job.duration = kNever;
  job.work = Seconds(2000);
  const Tally stuck = live(job, {1, 1});
  CHECK_FALSE(stuck.is_finished);
  CHECK_THAT(stuck.wall.value, WithinRel(100 * 2000.0, 1e-9));
}

TEST_CASE("a job that may shrink goes on slower and grows at the next checkpoint", "[study]") {
  Job job = job_of({every(1000, Seconds(300))}, 1740);
  job.spares = 0;
  job.shrunk_rates = {0.75};
  const Tally tally = live(job, {1, 1});
  // On at 1080 with three quarters; 300 s of work take 400; the checkpoint ends at 1500, the node
  // is back since 1300: a restart until 1530, then 210 s at the full rate.
  check(tally, Loss::shrunk, 100);
  check(tally, Loss::replacement, 0);
  check(tally, Loss::restart, 30 + 30);
  check(tally, Loss::detection, 50);
  CHECK_THAT(tally.useful.value, WithinAbs(900 + 300 + 210, kTolerance));
}

TEST_CASE("a job that has shrunk for long still grows at the next checkpoint", "[study]") {
  // 312 x 320 s and 160 s of work; on at 100,080. The fifth checkpoint at three quarters of the
  // rate ends at 102,180, the node is back since 102,000; a restart, 24 x 320 s and 110 s.
  Job job = job_of({every(100'000, Seconds(2000))}, 110'000);
  job.spares = 0;
  job.shrunk_rates = {0.75};
  const Tally tally = live(job, {1, 1});
  check(tally, Loss::recomputed, 160);
  check(tally, Loss::shrunk, 500);
  check(tally, Loss::restart, 60);
  CHECK_THAT(tally.useful.value, WithinAbs(312 * 300 + 5 * 300 + 24 * 300 + 110, 100 * kTolerance));
}

TEST_CASE("nodes that are out are not struck", "[study]") {
  for (std::uint64_t run = 0; run < 20; ++run) {
    Job job = job_of({{2, Seconds(2000), 1, {}, 1, kNever}}, 1e5);
    job.nodes = 2;
    job.spares = 0;
    job.shrunk_rates = {0.5};
    CHECK(live(job, {1, run}).num_failures() == 2);  // both, and nothing is left
  }
}

TEST_CASE("more lost nodes than may be dropped are waited for", "[study]") {
  Job job = job_of({every(1000, Seconds(5000)), every(1200, Seconds(5000))}, 4000);
  job.spares = 0;
  job.shrunk_rates = {0.75};
  const Tally one = live(job, {1, 1});
  job.shrunk_rates = {0.75, 0.5};
  const Tally two = live(job, {1, 1});
  CHECK(one.lost[static_cast<std::size_t>(Loss::replacement)] > Seconds(2000));
  CHECK(two.useful > one.useful);
}

TEST_CASE("maintenance takes a checkpoint first and a restart after", "[study]") {
  Job job = job_of({}, 1260);
  job.maintenance = {Seconds(1000), Seconds(100)};
  // 3 x 320 s, 40 s of work until 1000, checkpoint to 1020, pause to 1120, restart to 1150, 110 s.
  const Tally tally = live(job, {1, 1});
  check(tally, Loss::checkpoints, 80);
  check(tally, Loss::maintenance, 130);
  CHECK_THAT(tally.useful.value, WithinAbs(900 + 40 + 110, kTolerance));
  CHECK(tally.planned == 1);
}

TEST_CASE("an asynchronous checkpoint is written out before maintenance", "[study]") {
  // Begun at 300, 610, 920 and written 200 s later: at 1000 the last of them is waited for until
  // 1120, then one more is written until 1320. Struck at 1500, 50 s after the pause and the
  // restart.
  Job job = job_of({every(1500)}, 1580);
  job.checkpointing = {Seconds(300), Seconds(200), Seconds(10)};
  job.maintenance = {Seconds(1000), Seconds(100)};
  const Tally tally = live(job, {1, 1});
  check(tally, Loss::checkpoints, 30 + 120 + 200);
  check(tally, Loss::maintenance, 130);
  check(tally, Loss::recomputed, 50);
  CHECK_THAT(tally.useful.value, WithinAbs(970, kTolerance));
}

TEST_CASE("nothing is struck while it is maintained", "[study]") {
  Job job = job_of({every(1060)}, 1260);
  job.maintenance = {Seconds(1000), Seconds(100)};
  const Tally tally = live(job, {1, 1});
  CHECK(tally.num_failures() == 0);
  CHECK_THAT(tally.useful.value, WithinAbs(1050, kTolerance));
}

TEST_CASE("a failure takes out as many nodes as hang on the part", "[study]") {
  Parts rack = every(1000, Seconds(500));
  rack.nodes_lost = 3;
  Job job = job_of({rack}, 1080);
  job.swap = Seconds(1);
  job.spares = 3;
  check(live(job, {1, 1}), Loss::replacement, 1);
  job.spares = 2;  // noticed at 1050; nothing comes back until the end
  check(live(job, {1, 1}), Loss::replacement, 30);
}

TEST_CASE("software takes no node out", "[study]") {
  Parts software = every(1000, kNever);
  software.nodes_lost = 0;
  Job job = job_of({software}, 1080);
  job.spares = 0;
  CHECK_THAT(live(job, {1, 1}).useful.value, WithinAbs(900, kTolerance));
}

TEST_CASE("whatever happens the times add up to the wall time", "[study]") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto pick = [&](std::uint64_t i) { return draw({seed, 0}, 77, i); };
    Job job;
    job.nodes = 12;
    job.spares = static_cast<std::int64_t>(3 * pick(0));
    for (std::int64_t kind = 0; kind < 3; ++kind) {
      job.parts.push_back({12, Seconds(2e4 + 2e5 * pick(1)), 0.6 + pick(2), Seconds(1e4 * pick(3)),
                           kind, Seconds(4000 * pick(4))});
    }
    job.duration = Seconds(3e5);
    job.detection = Seconds(200 * pick(5));
    job.restart = Seconds(200 * pick(6));
    job.swap = Seconds(100 * pick(7));
    const Seconds write(300 * pick(8));
    job.checkpointing = {Seconds(50 + 3000 * pick(9)), write, write * pick(10)};
    job.shrink_unit = 2;
    job.shrunk_rates = {0.8, 0.6};
    job.stragglers = {Seconds(5000), Seconds(900), 1 + pick(11)};
    job.maintenance = {Seconds(4e4), Seconds(1000 * pick(12))};
    const Tally tally = live(job, {seed, 5});
    INFO("seed " << seed);
    CHECK_THAT(sum(tally), WithinRel(tally.wall.value, 1e-9));
    CHECK(tally.wall == job.duration);
    CHECK(tally.useful >= Seconds(0));
    for (const Seconds lost : tally.lost) {
      CHECK(lost >= Seconds(0));
    }
  }
}

TEST_CASE("the same key gives the same run and another one another", "[study]") {
  Job job = job_of({{1000, Seconds(5e6), 1, {}, 1, Seconds(100)}}, 1e6);
  const Tally tally = live(job, {3, 4});
  const Tally again = live(job, {3, 4});
  CHECK(again.useful == tally.useful);
  CHECK(again.lost == tally.lost);
  CHECK(again.failures == tally.failures);
  CHECK(live(job, {3, 5}).useful != tally.useful);
  CHECK(live(job, {4, 4}).useful != tally.useful);
}

}  // namespace
}  // namespace foretrain::goodput::testing
