// What the trainer takes of a run file, and what it refuses, each at its key.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/validation/trainer/small_training.hpp"

namespace foretrain::trainer {
namespace {

using testing::Assignments;
using testing::small_plan;

std::string refusal_of(int ranks, const Assignments& sets) {
  try {
    (void)small_plan(ranks, sets);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("ranks are numbered as the simulator numbers them", "[trainer]") {
  const Plan plan =
      small_plan(8, {"parallel.tensor=2", "parallel.pipeline=2", "training.micro_batch=1"});
  CHECK(plan.data() == 2);
  CHECK(plan.micro_batches() == 4);
  for (int rank = 0; rank < 8; ++rank) {
    CHECK(plan.rank_at(plan.place_of(rank)) == rank);
  }
  CHECK(plan.place_of(5).tensor == 1);
  CHECK(plan.place_of(5).data == 0);
  CHECK(plan.place_of(5).pipeline == 1);
}

struct Refused {
  int ranks;
  Assignments sets;
  std::string key;
  std::string words;
};

TEST_CASE("what the trainer cannot do is refused at its key", "[trainer]") {
  const std::vector<Refused> all = {
      {1, {"model.norm=rms_norm"}, "model", "LayerNorm"},
      {1, {"model.mlp=gated", "model.ffn=128"}, "model", "two matrices"},
      {1, {"model.tied_embeddings=true"}, "model", "tied_embeddings = false"},
      {1, {"model.bias=false"}, "model", "bias = true"},
      {1, {"model.kv_heads=2"}, "model", "every head"},
      {1, {"training.precision=bf16"}, "training.precision", "trains in fp32"},
      {1, {"training.optimizer=lion"}, "training.optimizer", "adam"},
      {1, {"training.recompute=selective"}, "training.recompute", "none or full"},
      {1, {"training.sequence_length=32"}, "training.sequence_length", "16 positions"},
      {2, {"parallel.context=2"}, "parallel.context", "whole sequences"},
      {2,
       {"parallel.tensor=2", "parallel.sequence_parallel=true"},
       "parallel.sequence_parallel",
       "all tokens"},
      {2,
       {"parallel.pipeline=2", "training.micro_batch=1", "parallel.schedule=zb-h1"},
       "parallel.schedule",
       "1f1b or gpipe"},
      {4,
       {"parallel.pipeline=2", "parallel.zero=2", "training.micro_batch=1"},
       "parallel.zero",
       "shards the optimizer only"},
      {2, {"parallel.zero=3", "sharding.units_in_flight=3"}, "sharding", "one layer ahead"},
      {2,
       {"parallel.zero=1", "sharding.overlap_parameters=true"},
       "sharding.overlap_parameters",
       "right after the update"},
      {2, {"compression.pipeline.method=cast"}, "compression.pipeline", "only gradients"},
      {2,
       {"parallel.zero=1", "compression.gradients.method=cast"},
       "compression.gradients",
       "parallel.zero = 0"},
      {3, {"parallel.tensor=2"}, "parallel", "do not divide the 3 ranks"},
      {3, {}, "training.global_batch", "no multiple"},
      {3, {"parallel.pipeline=3"}, "parallel.pipeline", "does not divide 4 layers"},
      {3, {"parallel.tensor=3"}, "parallel.tensor", "does not divide 4 heads"},
  };
  for (const Refused& one : all) {
    const std::string refusal = refusal_of(one.ranks, one.sets);
    INFO(one.key << " " << one.words << ": " << refusal);
    CHECK(refusal.find(one.key + ":") != std::string::npos);
    CHECK(refusal.find(one.words) != std::string::npos);
  }
}

}  // namespace
}  // namespace foretrain::trainer
