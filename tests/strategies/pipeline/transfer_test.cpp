// What stages send to one another.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/transfer.hpp"

#include "strategies/lower.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

Run pipelined(std::int64_t tensor, std::int64_t pipeline, std::int64_t chunks) {
  Run run = small_run(tensor, pipeline, 1);
  run.parallel.virtual_stages = chunks;
  run.parallel.schedule = chunks > 1 ? "interleaved-1f1b" : "1f1b";
  return run;
}

}  // namespace

TEST_CASE("every micro-batch crosses every boundary of chunks once each way", "[pipeline]") {
  for (const std::int64_t pipeline : {2, 4}) {
    for (const std::int64_t chunks : {1, 2}) {
      const Volume volume = all_sends(lower(pipelined(1, pipeline, chunks)));
      const std::int64_t crossings = 8 * (pipeline * chunks - 1);  // 4 micro-batches, both ways
      CHECK(volume.count == crossings);
      CHECK(volume.bytes == static_cast<double>(crossings) * kActivation);
    }
  }
  CHECK(all_sends(lower(pipelined(2, 1, 1))).count == 0);
}

TEST_CASE("each rank of a tensor group sends all of the activation, or its share", "[pipeline]") {
  Run run = pipelined(2, 4, 1);
  const std::int64_t crossings = 24;  // both ways, 4 micro-batches, 3 boundaries
  const Volume whole = all_sends(lower(run));
  CHECK(whole.count == 2 * crossings);
  CHECK(whole.bytes == static_cast<double>(2 * crossings) * kActivation);
  SECTION("scatter/gather sends 1/t and gathers on arrival (Narayanan et al., SC'21, 4.1)") {
    run.stack.scatter_gather = true;
    const Program program = lower(run);
    CHECK(all_sends(program).bytes == static_cast<double>(crossings) * kActivation);
    // Stage 1 receives 4 activations and 4 gradients; stage 0 gradients only.
    const Volume gathers = collectives(program, Rank(2), "tensor", CollectiveKind::all_gather);
    CHECK(gathers.count == 8);
    CHECK(gathers.bytes == 8 * kActivation);
    CHECK(collectives(program, Rank(0), "tensor", CollectiveKind::all_gather).count == 4);
  }
  SECTION("with sequence parallelism a rank has 1/t and the next keeps it so") {
    run.parallel.sequence_parallel = true;
    const Program program = lower(run);
    CHECK(all_sends(program).bytes == static_cast<double>(crossings) * kActivation);
    run.stack.scatter_gather = true;  // changes nothing
    CHECK(collectives(lower(run), Rank(2), "tensor", CollectiveKind::all_gather).count ==
          collectives(program, Rank(2), "tensor", CollectiveKind::all_gather).count);
  }
}

TEST_CASE("blocking sends never make a step faster", "[pipeline]") {
  for (const std::int64_t chunks : {1, 2}) {
    Run run = pipelined(1, 4, chunks);
    const Seconds free = play_run(run).timeline.end;
    run.stack.blocking_sends = true;
    CHECK(play_run(run).timeline.end >= free);
  }
}

}  // namespace foretrain::testing
