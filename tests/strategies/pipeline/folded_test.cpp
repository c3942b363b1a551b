// Bodies of every schedule in the table: the same work and messages wherever chunks are placed, and
// what two copies of the model cost.
//
// s = 64 tokens, b = 2 sequences, h = 64, 8 layers, m = 8 micro-batches over p = 4 stages.
// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <string>
#include <vector>

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

Run with_schedule(const PipelineSchedule& schedule, std::int64_t tensor = 1,
                  std::int64_t pipeline = 4, std::int64_t data = 1) {
  Run run = small_run(tensor, pipeline, data);
  set_schedule(run, schedule);
  return run;
}

Run with_schedule(const char* schedule, std::int64_t tensor = 1, std::int64_t pipeline = 4,
                  std::int64_t data = 1) {
  return with_schedule(pipeline_schedule(schedule), tensor, pipeline, data);
}

Flops all_flops(const Program& program) {
  Flops sum;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    sum += gemm_flops(program, Rank(rank));
  }
  return sum;
}

/// Messages that cross from stage to stage: both ways over every boundary of places but the fold.
std::int64_t crossings(const Run& run) {
  const PipelineShape shape = run.pipeline_shape();
  const std::int64_t boundaries =
      num_places(run.placement(), shape) - 1 - (run.placement() == ChunkPlacement::v_shape ? 1 : 0);
  return 2 * run.num_micro_batches() * boundaries;
}

Bytes held(const Run& run, std::int64_t stage, MemoryClass memory) {
  Bytes sum;
  const Program program = lower(run);
  for (const Resident& resident :
       program.body_of(layout_of(run).rank(0, 0, static_cast<std::size_t>(stage))).resident) {
    sum += resident.memory == memory ? resident.bytes : Bytes(0);
  }
  return sum;
}

}  // namespace

TEST_CASE("programs of every schedule keep what programs promise, whatever is sharded or overlaps",
          "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const std::int64_t pipeline : {2, 4}) {
      for (const std::int64_t data : {1, 2, 4}) {
        for (unsigned number = 0; number < 8; ++number) {
          Run run = with_schedule(schedule, 1 + number % 2, pipeline, data);
          run.parallel.zero = number % 3;
          if (run.parallel.zero > 0 && data == 4) {
            run.parallel.shard = 2;
          }
          run.stack.overlap_gradients = (number & 1U) != 0;
          run.stack.overlap_parameters = (number & 2U) != 0;
          run.stack.overlap_tensor_parallel = (number & 4U) != 0;
          run.stack.blocking_sends = (number & 2U) == 0;
          run.stack.scatter_gather = (number & 4U) == 0;
          INFO(schedule.name << ": pipeline " << pipeline << ", data " << data << ", " << number);
          CHECK_NOTHROW(verify(lower(run)));
        }
      }
    }
  }
}

TEST_CASE("every schedule does the work of 1F1B", "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const Model& model : {gpt(8, 64, 8), llama(8, 64, 8)}) {
      INFO(schedule.name << ", " << model.name);
      Run run = with_schedule(schedule);
      run.model = model;
      Run plain = with_schedule("1f1b");
      plain.model = model;
      CHECK(all_flops(lower(run)).value ==
            Catch::Approx(all_flops(lower(plain)).value).epsilon(1e-12));
    }
  }
}

TEST_CASE("every micro-batch crosses every boundary between stages once each way", "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const std::int64_t pipeline : {2, 4}) {
      const Run run = with_schedule(schedule, 1, pipeline);
      INFO(schedule.name << ", pipeline " << pipeline);
      const Volume volume = all_sends(lower(run));
      CHECK(volume.count == crossings(run));
      CHECK(volume.bytes == static_cast<double>(crossings(run)) * kActivation);
    }
  }
  // Qi et al. 2024, section 6: twice the messages of 1F1B; a model that starts at both ends sends
  // no more than one that starts at one.
  const std::int64_t plain = crossings(with_schedule("1f1b"));
  CHECK(crossings(with_schedule("zb-v")) == 2 * plain);
  CHECK(crossings(with_schedule("dualpipe")) == plain);
}

TEST_CASE("a folded pipeline has embedding and head on its first stage", "[pipeline]") {
  const Run run = with_schedule("zb-v");
  for (std::int64_t stage = 0; stage < 4; ++stage) {
    const StageShape shape = stage_shape(run, stage);
    CHECK(shape.has_embedding == (stage == 0));
    CHECK(shape.has_head == (stage == 0));
    CHECK(shape.places == std::vector<std::int64_t>{stage, 7 - stage});
    CHECK(shape.layers_before == std::vector<std::int64_t>{stage, 7 - stage});
    CHECK(shape.is_first(0) == (stage == 0));
    CHECK(shape.is_last(1) == (stage == 0));
  }
  // Tied embeddings are one table there: nobody sums its gradients over stages.
  for (const char* schedule : {"zb-v", "v-half", "dualpipe-v", "dualpipe"}) {
    CHECK(collectives(lower(with_schedule(schedule)), Rank(0), "embedding",
                      CollectiveKind::all_reduce)
              .count == 0);
  }
}

TEST_CASE("stages of a pipeline from both ends hold two stages of a plain one", "[pipeline]") {
  Run dual = with_schedule("dualpipe");
  dual.model.tied_embeddings = false;
  Run plain = with_schedule("1f1b");
  plain.model.tied_embeddings = false;
  for (std::int64_t stage = 0; stage < 4; ++stage) {
    const std::int64_t both =
        stage_shape(plain, stage).parameters + stage_shape(plain, 3 - stage).parameters;
    CHECK(stage_shape(dual, stage).parameters == both);
    for (const MemoryClass memory :
         {MemoryClass::parameters, MemoryClass::gradients, MemoryClass::optimizer}) {
      CHECK(held(dual, stage, memory) ==
            held(plain, stage, memory) + held(plain, 3 - stage, memory));
    }
  }
}

TEST_CASE("gradients of both copies are summed over the two stages that hold them", "[pipeline]") {
  for (const std::int64_t data : {1, 2}) {
    for (const std::int64_t zero : {0, 1}) {
      Run run = with_schedule("dualpipe", 1, 4, data);
      run.parallel.zero = zero;
      const Program program = lower(run);
      const Layout layout = layout_of(run);
      for (std::size_t stage = 0; stage < 4; ++stage) {
        INFO("data " << data << ", zero " << zero << ", stage " << stage);
        const Rank rank = layout.rank(0, 0, stage);
        const Bytes gradients =
            static_cast<double>(stage_shape(run, static_cast<std::int64_t>(stage)).parameters) *
            run.stack.gradient_size();
        const Volume summed = collectives(program, rank, "data", CollectiveKind::all_reduce);
        const Volume scattered = collectives(program, rank, "data", CollectiveKind::reduce_scatter);
        const bool is_scattered = zero == 1 && data > 1;
        CHECK(summed.bytes.value ==
              Catch::Approx(gradients.value / (is_scattered ? static_cast<double>(data) : 1.0)));
        CHECK(scattered.bytes == (is_scattered ? gradients : Bytes(0)));
        // Who takes part: the replicas of both stages, or those two that hold one shard.
        const auto members = [&](std::uint32_t slot) {
          const GroupId group = program.ranks[rank.index()].communicators[slot];
          return program.groups[group.index()].members.size();
        };
        CHECK(members(kDataGroup) == 2 * static_cast<std::size_t>(data));
        if (zero == 1) {
          CHECK(members(kReplicaGroup) == 2);
        }
      }
    }
  }
}

TEST_CASE("collectives of a pair travel on a stream of their own", "[pipeline]") {
  for (const char* schedule : {"dualpipe", "dualpipe-v"}) {
    const Run run = with_schedule(schedule, 2);
    const Program program = lower(run);
    std::map<std::string, std::int64_t> by_stream;
    for (const Stream& stream : program.body_of(Rank(0)).streams) {
      for (const Op& op : stream.ops) {
        by_stream[stream.name] += std::holds_alternative<Collective>(op.action) ? 1 : 0;
      }
    }
    // Four all-reduces of a layer's forward and backward, some of each kind of slot in pairs.
    CHECK(by_stream["pair"] > 0);
    CHECK(by_stream["compute"] > 0);
  }
}

TEST_CASE("a pair hides communication, and never more than all of it", "[pipeline]") {
  const auto time = [](const char* schedule, std::int64_t tensor, double rate) {
    Run run = with_schedule(schedule, tensor);
    run.training.global_batch = 32;
    run.model = gpt(8, 256, 8);
    run.training.sequence_length = 512;
    run.cluster.node.rate.value = BytesPerSecond(rate);
    return play_run(run).timeline.end;
  };
  // Both schedules have the same all-reduces on the same places; ZB-V waits for every one.
  const Seconds slow = time("dualpipe-v", 2, 1e10);
  const Seconds quick = time("dualpipe-v", 2, 1e14);
  const Seconds slow_plain = time("zb-v", 2, 1e10);
  const Seconds quick_plain = time("zb-v", 2, 1e14);
  CHECK(quick < slow);
  CHECK(slow - quick < slow_plain - quick_plain);
}

TEST_CASE("a run may let stages send without waiting, whatever its stack does", "[pipeline]") {
  Run run = with_schedule("1f1b");
  const Seconds free = play_run(run).timeline.end;
  run.stack.blocking_sends = true;
  const Seconds blocked = play_run(run).timeline.end;
  CHECK(blocked > free);
  run.parallel.blocking_sends = false;
  CHECK_THAT(play_run(run).timeline.end.value, Catch::Matchers::WithinRel(free.value, 1e-12));
  run.stack.blocking_sends = false;
  run.parallel.blocking_sends = true;
  CHECK_THAT(play_run(run).timeline.end.value, Catch::Matchers::WithinRel(blocked.value, 1e-12));
}

}  // namespace foretrain::testing
