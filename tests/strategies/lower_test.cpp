// Is the program of a step whole: for every valid run, with the FLOPs that the model has?
// SPDX-License-Identifier: Apache-2.0
#include "strategies/lower.hpp"

#include <set>

#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr Recompute kRecomputes[] = {Recompute::none, Recompute::selective, Recompute::operators,
                                     Recompute::full};

/// One of the sixteen settings of what a stack overlaps and how stages send.
void set_switches(Stack& stack, unsigned number) {
  stack.overlap_gradients = (number & 1U) != 0;
  stack.overlap_tensor_parallel = (number & 2U) != 0;
  stack.scatter_gather = (number & 4U) != 0;
  stack.blocking_sends = (number & 8U) != 0;
}

void set_chunks(Run& run, std::int64_t chunks) {
  run.parallel.virtual_stages = chunks;
  run.parallel.schedule = chunks > 1 ? "interleaved-1f1b" : "1f1b";
}

/// Calls `use(run)` for every layout of up to 4 x 4 x 3 GPUs, chunks, ZeRO stage, sequence
/// parallelism and recomputation.
template <class Use>
void for_every_layout(Use use) {
  for (const std::int64_t tensor : {1, 2, 4}) {
    for (const std::int64_t pipeline : {1, 2, 4}) {
      for (const std::int64_t data : {1, 2, 3}) {
        for (const std::int64_t chunks : {1, 2}) {
          for (const bool sequence_parallel : {false, true}) {
            for (const Recompute recompute : kRecomputes) {
              if ((pipeline == 1 && chunks > 1) || (tensor == 1 && sequence_parallel)) {
                continue;
              }
              Run run = small_run(tensor, pipeline, data);
              set_chunks(run, chunks);
              run.parallel.sequence_parallel = sequence_parallel;
              run.training.recompute = recompute;
              run.parallel.zero = data % 2;
              use(run);
            }
          }
        }
      }
    }
  }
}

std::string text(const Run& run) {
  const Parallel& parallel = run.parallel;
  return "tensor " + std::to_string(parallel.tensor) + " pipeline " +
         std::to_string(parallel.pipeline) + " x " + std::to_string(parallel.virtual_stages) +
         " data " + std::to_string(run.data_parallel()) + " zero " + std::to_string(parallel.zero) +
         (parallel.sequence_parallel ? " sequence parallel" : "") + " recompute " +
         std::to_string(static_cast<int>(run.training.recompute)) + " overlap " +
         std::to_string(run.stack.overlap_gradients) +
         std::to_string(run.stack.overlap_tensor_parallel) + " scatter " +
         std::to_string(run.stack.scatter_gather) + " blocking " +
         std::to_string(run.stack.blocking_sends);
}

Flops all_gemm_flops(const Program& program) {
  Flops sum;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    sum += gemm_flops(program, Rank(rank));
  }
  return sum;
}

/// The head computes the padded vocabulary, which model FLOPs do not count: 2 s h (V' - V) per
/// sequence forward, three times that with backward.
Flops padding_flops(const Run& run) {
  const std::int64_t extra =
      padded_vocabulary(run.model.vocabulary, run.parallel.tensor) - run.model.vocabulary;
  return Flops(3.0 * 2.0 * run.tokens_per_step() * static_cast<double>(run.model.hidden * extra));
}

}  // namespace

TEST_CASE("the program of every layout keeps what programs promise and can finish",
          "[strategies]") {
  unsigned number = 0;
  for_every_layout([&number](Run& run) {
    set_switches(run.stack, 5 * ++number % 16);  // every layout with one setting, all in turn
    run.stack.accumulation = static_cast<Accumulation>(number % 3);
    INFO(text(run));
    CHECK_NOTHROW(verify(lower(run)));
  });
}

TEST_CASE("the program of one layout can finish whatever a stack overlaps", "[strategies]") {
  for (unsigned number = 0; number < 16; ++number) {
    for (const Recompute recompute : kRecomputes) {
      for (const PipelineSchedule& schedule : pipeline_schedules()) {
        Run run = small_run(2, 4, 2);
        set_switches(run.stack, number);
        run.training.recompute = recompute;
        run.parallel.zero = 1;
        run.parallel.sequence_parallel = number % 3 == 0;
        set_schedule(run, schedule);
        INFO(text(run));
        CHECK_NOTHROW(verify(lower(run)));
      }
    }
  }
}

TEST_CASE("the GEMMs of a step are the model's FLOPs and those recomputed", "[strategies]") {
  for_every_layout([](Run& run) {
    INFO(text(run));
    const Flops expected = hardware_flops(run) + padding_flops(run);
    CHECK_THAT(all_gemm_flops(lower(run)).value, WithinRel(expected.value, 1e-12));
  });
}

TEST_CASE("hardware FLOPs count the layers that are recomputed", "[strategies]") {
  for (const Recompute recompute : kRecomputes) {
    for (const std::int64_t every : {1, 2, 3, 5}) {
      for (const Model& model : {gpt(8, 64, 8), llama(8, 64, 8)}) {
        Run run = small_run(1, 2, 1);
        run.model = model;
        run.model.vocabulary = 512;
        run.training.recompute = recompute;
        run.training.recompute_every = every;
        INFO(text(run) << " every " << every);
        CHECK_THAT(all_gemm_flops(lower(run)).value, WithinRel(hardware_flops(run).value, 1e-12));
      }
    }
  }
}

TEST_CASE("the GEMMs of other architectures are their model's FLOPs, too", "[strategies]") {
  for (Model model : {neox(8, 64, 8), llama(8, 64, 8), mixtral(8, 64, 8)}) {
    model.vocabulary = 512;  // nothing is padded at tensor 2
    Run run = small_run(2, 2, 1);
    run.model = model;
    // Each rank of a tensor group routes for itself: 2 h experts per token and layer, three passes.
    const double routers = model.moe ? 3.0 * 2 * 64 * 8 * 8 * run.tokens_per_step() : 0;
    CHECK_THAT(all_gemm_flops(lower(run)).value,
               WithinRel(model_flops(run).value + routers, 1e-12));
  }
}

TEST_CASE("model FLOPs are those of Narayanan et al. and recomputation adds a forward pass",
          "[strategies]") {
  // SC'21, eq. 3, for f = 4 h and full recomputation, F = 96 B s l h^2 (1 + s / (6 h) + V / (16 l
  // h)). There the logit layer's 6 B s h V is never recomputed, as here.
  Run run = small_run(1, 1, 1);
  run.training.recompute = Recompute::full;
  const double b = static_cast<double>(run.training.global_batch);
  const double s = 64;
  const double l = 8;
  const double h = 64;
  const double v = 300;
  const double paper = 96 * b * s * l * h * h * (1 + s / (6 * h) + v / (16 * l * h));
  CHECK_THAT(hardware_flops(run).value, WithinRel(paper, 1e-12));
  // Without recomputation three of four passes through the layers remain.
  CHECK_THAT(model_flops(run).value,
             WithinRel(72 * b * s * l * h * h * (1 + s / (6 * h)) + 6 * b * s * h * v, 1e-12));
  // Selectively: the two products of s^2 h per layer again, 4 B l s^2 h.
  run.training.recompute = Recompute::selective;
  CHECK_THAT((hardware_flops(run) - model_flops(run)).value,
             WithinRel(4 * b * l * s * s * h, 1e-12));
}

TEST_CASE("ranks of one stage share a body and every rank has a device of its own",
          "[strategies]") {
  const Program program = lower(small_run(2, 4, 3));
  CHECK(program.bodies.size() == 4);
  REQUIRE(program.ranks.size() == 24);
  std::set<DeviceId> devices;
  for (std::size_t rank = 0; rank < 24; ++rank) {
    CHECK(program.ranks[rank].body == BodyId(rank / 6));
    devices.insert(program.ranks[rank].device);
  }
  CHECK(devices.size() == 24);
}

TEST_CASE("peers are the same place of the neighbouring stages, round the end", "[strategies]") {
  // T = 2, D = 3: a stage is 6 ranks. Rank 7 is place 1 of stage 1.
  const Program program = lower(small_run(2, 4, 3));
  CHECK(program.ranks[7].peers == std::vector<Rank>{Rank(13), Rank(1)});
  CHECK(program.ranks[1].peers == std::vector<Rank>{Rank(7), Rank(19)});
  CHECK(program.ranks[19].peers == std::vector<Rank>{Rank(1), Rank(13)});
}

TEST_CASE("lowering twice gives the same program", "[strategies]") {
  const Run run = small_run(2, 2, 2);
  const Program one = lower(run);
  const Program two = lower(run);
  CHECK(one.names == two.names);
  CHECK(one.kernel_lists == two.kernel_lists);
  REQUIRE(one.bodies.size() == two.bodies.size());
  for (std::size_t body = 0; body < one.bodies.size(); ++body) {
    REQUIRE(one.bodies[body].streams.size() == two.bodies[body].streams.size());
    for (std::size_t s = 0; s < one.bodies[body].streams.size(); ++s) {
      CHECK(one.bodies[body].streams[s].ops.size() == two.bodies[body].streams[s].ops.size());
    }
  }
}

}  // namespace foretrain::testing
