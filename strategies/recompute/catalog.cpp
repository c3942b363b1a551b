// The table of recomputation policies, and what all of them share.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <string>

#include "sim/core/error.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage_layers.hpp"

namespace foretrain {
namespace recompute {
namespace {

// clang-format off
constexpr std::array<RecomputePolicy, 5> kPolicies = {{
    {"none", "Everything is kept", none_again, none_kept, none_flops, Recompute::none},
    {"selective", "The attention core runs again (Korthikanti et al. 2022)", selective_again, selective_kept, selective_flops, Recompute::selective},
    {"operators", "Every other GEMM and all that is element-wise runs again (torchtitan's per-op policy)", operators_again, operators_kept, operators_flops, Recompute::operators},
    {"full", "The whole layer runs again, from its input", full_again, full_kept, full_flops, Recompute::full},
    {"above", "What made the activations larger than recompute_above runs again", above_again, above_kept, above_flops, Recompute::above},
}};
// clang-format on

}  // namespace
}  // namespace recompute

std::span<const RecomputePolicy> recompute_policies() { return recompute::kPolicies; }

const RecomputePolicy& recompute_policy(Recompute value) {
  for (const RecomputePolicy& policy : recompute::kPolicies) {
    if (policy.value == value) {
      return policy;
    }
  }
  throw InternalError("a recomputation policy without a row");
}

Bytes saved_bytes(const Work& work) {
  Bytes total;
  for (const SavedTensor& tensor : work.saved) {
    total += tensor.bytes;
  }
  return Bytes(std::ceil(total.value));
}

bool is_recomputed(const Run& run, std::int64_t layer_number, std::int64_t place) {
  const Training& training = run.training;
  return training.recompute != Recompute::none && layer_number % training.recompute_every == 0 &&
         (training.recompute_first == 0 || place < training.recompute_first);
}

double recomputed_share(const Run& run) {
  std::int64_t layers = 0;
  for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
    for (std::int64_t chunk = 0; chunk < run.parallel.virtual_stages; ++chunk) {
      const std::int64_t first = first_layer_of(run, stage, chunk);
      for (std::int64_t place = 0; place < layers_of(run, stage, chunk); ++place) {
        layers += is_recomputed(run, first + place, place) ? 1 : 0;
      }
    }
  }
  return static_cast<double>(layers) / static_cast<double>(run.model.layers);
}

Flops recomputed_flops(const Run& run) {
  return static_cast<double>(run.training.global_batch) * recomputed_share(run) *
         recompute_policy(run.training.recompute).flops(run);
}

void read_recompute(config::Reader& reader, Training& training) {
  std::vector<config::Choice<Recompute>> words;
  words.reserve(recompute_policies().size());
  for (const RecomputePolicy& policy : recompute_policies()) {
    words.push_back({policy.name, policy.value});
  }
  const bool is_threshold = reader.has("recompute_above");
  training.recompute = reader.choice<Recompute>("recompute", words,
                                                is_threshold ? Recompute::above : Recompute::none);
  training.recompute_every = reader.count("recompute_every", 1, config::Range{1, 1000});
  training.recompute_first = reader.count("recompute_first", 0, config::Range{1, 100'000});
  for (const char* key : {"recompute_every", "recompute_first"}) {
    if (training.recompute == Recompute::none && reader.has(key)) {
      reader.fail(key, "has no effect with recompute = \"none\"; remove it");
    }
  }
  if (reader.has("recompute_every") && reader.has("recompute_first")) {
    reader.fail("recompute_first", "recompute_every chooses the layers already; give one of them");
  }
  training.recompute_above = reader.get<Bytes>("recompute_above", Bytes(0));
  if (is_threshold && training.recompute != Recompute::above) {
    reader.fail("recompute_above", "is a policy of its own: remove recompute = \"" +
                                       std::string(recompute_policy(training.recompute).name) +
                                       "\"");
  } else if (training.recompute == Recompute::above && training.recompute_above <= Bytes(0)) {
    reader.fail(is_threshold ? "recompute_above" : "recompute",
                "recompute_above must say above which size, such as \"64 MiB\"");
  }
}

}  // namespace foretrain
