// Every layout trains the same model: its losses are those of one rank. That is the proof that what
// is communicated is right.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/small_training.hpp"

namespace foretrain::trainer {
namespace {

using Catch::Matchers::WithinRel;
using testing::Assignments;
using testing::losses_of;
using testing::TrainingResult;

struct Layout {
  std::string name;
  int ranks = 1;
  Assignments sets;
};

std::vector<Layout> layouts() {
  const std::string four = "training.micro_batch=1";
  return {
      {"full recomputation", 1, {"training.recompute=full"}},
      {"four micro-batches", 1, {"training.micro_batch=2"}},
      {"data 2", 2, {}},
      {"data 4, micro-batches of 1", 4, {four}},
      {"data 2 without overlap", 2, {"sharding.overlap_gradients=false"}},
      {"data 2, small buckets", 2, {"sharding.gradient_bucket=1 kB"}},
      {"zero 1", 2, {"parallel.zero=1"}},
      {"zero 1, three ranks that no size is a multiple of",
       3,
       {"parallel.zero=1", "training.global_batch=6", "training.micro_batch=2"}},
      {"zero 2", 2, {"parallel.zero=2"}},
      {"zero 2, two micro-batches", 2, {"parallel.zero=2", "training.micro_batch=2"}},
      {"zero 3", 2, {"parallel.zero=3"}},
      {"zero 3, four ranks, two micro-batches", 4, {"parallel.zero=3", four}},
      {"zero 3, recomputed", 2, {"parallel.zero=3", "training.recompute=full"}},
      {"zero 3 without overlap", 2, {"parallel.zero=3", "sharding.overlap_gradients=false"}},
      {"tensor 2", 2, {"parallel.tensor=2"}},
      {"tensor 4", 4, {"parallel.tensor=4"}},
      {"tensor 2, overlapped",
       2,
       {"parallel.tensor=2", "override.stack.overlap_tensor_parallel=true"}},
      {"pipeline 2, 1F1B", 2, {"parallel.pipeline=2", four}},
      {"pipeline 4, 1F1B, sends that nobody waits for",
       4,
       {"parallel.pipeline=4", four, "parallel.blocking_sends=false"}},
      {"pipeline 2, GPipe", 2, {"parallel.pipeline=2", "parallel.schedule=gpipe", four}},
      {"pipeline 2, recomputed", 2, {"parallel.pipeline=2", "training.recompute=full", four}},
      {"pipeline 2, zero 1", 4, {"parallel.pipeline=2", "parallel.zero=1", four}},
      {"tensor 2, zero 3", 4, {"parallel.tensor=2", "parallel.zero=3"}},
      {"tensor 2, pipeline 2, data 2", 8, {"parallel.tensor=2", "parallel.pipeline=2", four}},
      {"tensor 2, pipeline 2, data 2, zero 1, GPipe",
       8,
       {"parallel.tensor=2", "parallel.pipeline=2", "parallel.zero=1", "parallel.schedule=gpipe",
        four}},
  };
}

TEST_CASE("every layout has the losses and norms of one rank", "[trainer]") {
  for (const Layout& layout : layouts()) {
    INFO(layout.name);
    // The reference sees the same global batch on one rank, at once where it is not the usual one.
    Assignments single;
    for (const std::string& set : layout.sets) {
      if (set.starts_with("training.global_batch")) {
        single = {set, "training.micro_batch=" + set.substr(set.find('=') + 1)};
      }
    }
    const TrainingResult expected = losses_of(1, single);
    const TrainingResult found = losses_of(layout.ranks, layout.sets);
    REQUIRE(found.losses.size() == expected.losses.size());
    for (std::size_t i = 0; i < expected.losses.size(); ++i) {
      CHECK_THAT(found.losses[i], WithinRel(expected.losses[i], 1e-4));
      CHECK_THAT(found.norms[i], WithinRel(expected.norms[i], 1e-3));
    }
  }
}

// The check above can fail: another seed, and a sum that is missing, are seen.
TEST_CASE("losses tell models and batches apart", "[trainer]") {
  const TrainingResult one = losses_of(1, {});
  const TrainingResult other = losses_of(1, {"training.global_batch=4", "training.micro_batch=4"});
  CHECK_THAT(one.losses.back(), !WithinRel(other.losses.back(), 1e-3));
  CHECK_THAT(one.norms.front(), !WithinRel(other.norms.front(), 1e-3));
}

TEST_CASE("an untrained model knows nothing, and learns", "[trainer]") {
  const TrainingResult result = losses_of(1, {}, 60);
  // ln 256 = 5.545 nats a byte; logits of a fresh model differ a little.
  CHECK_THAT(result.losses.front(), WithinRel(5.545, 0.02));
  CHECK(result.losses.back() < 3.6);
  CHECK(result.losses.back() > 0.5);
}

}  // namespace
}  // namespace foretrain::trainer
