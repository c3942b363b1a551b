// Frozen blocks, adapters and quantised weights: what is left out, what comes instead.
//
// T = tokens of a micro-batch, h = hidden, r = rank; a GPT layer has matrices h x 3 h, h x h,
// h x 4 h and 4 h x h.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/tuning.hpp"

#include <array>
#include <string>

#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr double kMicroBatchTokens = 2 * 64;
constexpr double kModelWidth = 128;
constexpr double kAdapterRank = 8;

Work layer() { return layer_work(gpt(1, 128, 8), shard(2, 64, 1)); }

Flops products(const std::vector<Step>& steps, std::string_view prefix = "") {
  Flops sum;
  for (const Step& step : steps) {
    const auto* gemm = std::get_if<Gemm>(&step.what);
    if (gemm != nullptr && !step.is_attention_core && step.name.starts_with(prefix)) {
      sum += flops(Kernel{NameId(0), *gemm});
    }
  }
  return sum;
}

bool has_step(const std::vector<Step>& steps, std::string_view name) {
  for (const Step& step : steps) {
    if (step.name == name) {
      return true;
    }
  }
  return false;
}

double bytes_saved(const Work& work) {
  double sum = 0;
  for (const SavedTensor& tensor : work.saved) {
    sum += tensor.bytes.value;
  }
  return sum;
}

BlockTuning frozen() {
  BlockTuning tuning;
  tuning.is_frozen = true;
  return tuning;
}

constexpr std::array<std::string_view, 3> kAll = {"qkv", "projection", "mlp"};

BlockTuning lora() {
  BlockTuning tuning = frozen();
  tuning.adapter_rank = 8;
  tuning.adapter_targets = kAll;
  return tuning;
}

}  // namespace

TEST_CASE("a block that is trained whole is as it was", "[models]") {
  const Work work = layer();
  const Work same = tuned(work, BlockTuning{});
  CHECK(same.forward.size() == work.forward.size());
  CHECK(same.backward.size() == work.backward.size());
  CHECK(same.trained() == work.parameters);
}

TEST_CASE("a frozen layer has the input gradients and no gradients of weights and biases",
          "[models]") {
  const Work work = layer();
  const Work still = tuned(work, frozen());
  CHECK(still.parameters == work.parameters);
  CHECK(still.trained() == 0);
  // 2 T 12 h^2 forward; as much backward instead of twice as much.
  CHECK(products(still.forward).value == 2 * kMicroBatchTokens * 12 * kModelWidth * kModelWidth);
  CHECK(products(work.backward).value == 2 * products(work.forward).value);
  CHECK(products(still.backward) == products(still.forward));
  CHECK(has_step(work.backward, "qkv_bias_gradient"));
  CHECK_FALSE(has_step(still.backward, "qkv_bias_gradient"));
  // Inputs of QKV, projection and up 2 T h each, of down 2 T 4 h.
  CHECK(bytes_saved(work) - bytes_saved(still) == 2 * kMicroBatchTokens * (3 + 4) * kModelWidth);
}

TEST_CASE("flash attention keeps its output, which is the input of a frozen projection",
          "[models]") {
  Shard flash = shard(2, 64, 1);
  flash.kernels.attention = AttentionKernel::flash2;
  const Work work = layer_work(gpt(1, 128, 8), flash);
  CHECK(bytes_saved(work) - bytes_saved(tuned(work, frozen())) ==
        2 * kMicroBatchTokens * (2 + 4) * kModelWidth);
}

TEST_CASE("where nothing before it is trained a frozen layer has no backward and keeps nothing",
          "[models]") {
  BlockTuning tuning = frozen();
  tuning.has_backward = false;
  const Work still = tuned(layer(), tuning);
  CHECK(still.backward.empty());
  CHECK(still.saved.empty());
  CHECK(products(still.forward).value == 2 * kMicroBatchTokens * 12 * kModelWidth * kModelWidth);
}

TEST_CASE("an adapter of rank r is r (n + k) parameters, and three times 2 T r (n + k) FLOPs",
          "[models]") {
  const Work work = layer();
  const Work adapted = tuned(work, lora());
  // (3 + 1) + (1 + 1) + (4 + 1) + (1 + 4) = 16 h.
  CHECK(static_cast<double>(adapted.trained()) == kAdapterRank * 16 * kModelWidth);
  const double forward = 2 * kMicroBatchTokens * kAdapterRank * 16 * kModelWidth;
  CHECK(products(adapted.forward, "adapter").value == forward);
  CHECK(products(adapted.backward, "adapter").value == 2 * forward);
  // The inputs are needed again, and what is between the halves: 4 x 2 T r bytes.
  CHECK(bytes_saved(adapted) == bytes_saved(work) + 4 * 2 * kMicroBatchTokens * kAdapterRank);
  CHECK_FALSE(has_step(adapted.backward, "qkv_weight_gradient"));
}

TEST_CASE("only the layers that are targets get adapters", "[models]") {
  constexpr std::array<std::string_view, 1> kOne = {"projection"};
  BlockTuning tuning = lora();
  tuning.adapter_targets = kOne;
  CHECK(static_cast<double>(tuned(layer(), tuning).trained()) == kAdapterRank * 2 * kModelWidth);
}

TEST_CASE("tensor parallelism splits one half of an adapter and repeats the other", "[models]") {
  const Work adapted = tuned(layer_work(gpt(1, 128, 8), shard(2, 64, 2)), lora());
  // QKV and up repeat r h and split r (3 + 4) h; projection and down the other way.
  CHECK(static_cast<double>(adapted.repeated) == kAdapterRank * 4 * kModelWidth);
  CHECK(static_cast<double>(adapted.trained()) ==
        kAdapterRank * (4 * kModelWidth + (3 + 4) * kModelWidth / 2 + (1 + 4) * kModelWidth / 2));
}

TEST_CASE("a quantised weight is written out before each product that it is in", "[models]") {
  BlockTuning tuning = lora();
  tuning.quantised_bytes = 0.5;
  const Work work = tuned(layer(), tuning);
  CHECK(static_cast<double>(work.quantised) == 12 * kModelWidth * kModelWidth);
  for (const std::vector<Step>* steps : {&work.forward, &work.backward}) {
    double bytes = 0;
    for (const Step& step : *steps) {
      if (step.name == "dequantise") {
        bytes += std::get<MemoryBound>(step.what).bytes.value;
      }
    }
    CHECK(bytes == (0.5 + 2) * 12 * kModelWidth * kModelWidth);  // reads a half byte, writes two
  }
}

TEST_CASE("frozen blocks of every kind keep the order of boundaries", "[models]") {
  for (const Model& model :
       {gpt(1, 128, 8), neox(1, 128, 8), llama(1, 128, 8), mixtral(1, 128, 8)}) {
    const Work work = layer_work(model, shard(2, 64, 2));
    const Work still = tuned(work, frozen());
    const auto boundaries = [](const std::vector<Step>& steps) {
      std::string list;
      for (const Step& step : steps) {
        list += std::holds_alternative<Boundary>(step.what) ? std::string(step.name) + " " : "";
      }
      return list;
    };
    CHECK(boundaries(still.forward) == boundaries(work.forward));
    CHECK(boundaries(still.backward) == boundaries(work.backward));
    for (const Step& step : still.backward) {
      const auto* gemm = std::get_if<Gemm>(&step.what);
      CHECK_FALSE(
          (gemm != nullptr && !step.is_attention_core && gemm->pass == GemmPass::weight_gradient));
    }
  }
}

}  // namespace foretrain::testing
