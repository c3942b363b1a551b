// Laws that hold for any valid model: nothing is negative or not a number, and more layers, tokens
// or ranks move every sum the way they must.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <random>
#include <variant>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

class Draw {
 public:
  explicit Draw(unsigned seed) : generator_(seed) {}
  std::int64_t number(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(generator_);
  }
  bool coin() { return number(0, 1) == 1; }

  Model model() {
    Model model;
    model.layers = number(1, 100);
    model.kv_heads = 8 * number(1, 8);
    model.heads = model.kv_heads * number(1, 4);
    model.head_dim = 8 * number(1, 32);
    model.hidden = coin() ? model.heads * model.head_dim : 64 * number(1, 100);
    model.ffn = 8 * number(1, 5000);
    model.vocabulary = number(1, 300000);
    model.mlp = coin() ? MlpKind::plain : MlpKind::gated;
    model.norm = static_cast<NormKind>(number(0, 2));
    model.position = static_cast<PositionKind>(number(0, 3));
    model.max_positions = model.position == PositionKind::learned ? number(1, 4096) : 0;
    model.tied_embeddings = coin();
    model.qkv_bias = coin();
    model.attention_output_bias = coin();
    model.mlp_bias = coin();
    model.parallel_residual = coin();
    model.embedding_norm = coin();
    model.sliding_window = coin() ? number(1, 5000) : 0;
    if (coin()) {
      model.moe = MixtureOfExperts{8, number(1, 8)};
    }
    return model;
  }

  Shard shard() {
    Shard shard;
    shard.micro_batch = number(1, 8);
    shard.sequence = number(1, 4096);
    shard.tensor = std::int64_t{1} << number(0, 3);
    shard.sequence_parallel = coin();
    shard.dtype = static_cast<Dtype>(number(0, 4));
    shard.kernels.attention = static_cast<AttentionKernel>(number(0, 3));
    shard.kernels.dropout = coin();
    shard.kernels.fused_activation = coin();
    shard.kernels.fused_dropout_add = coin();
    shard.kernels.fused_rotary = coin();
    return shard;
  }

 private:
  std::mt19937 generator_;
};

bool is_sound(const Gemm& gemm) {
  return gemm.batch > 0 && gemm.m > 0 && gemm.n > 0 && gemm.k > 0 && gemm.output_bytes > 0;
}
bool is_sound(const FlashAttention& flash) {
  return flash.batch > 0 && flash.heads > 0 && flash.query_length > 0 && flash.key_length > 0 &&
         flash.qk_head_dim > 0;
}
bool is_sound(const MemoryBound& memory) {
  return std::isfinite(memory.bytes.value) && memory.bytes.value > 0;
}
bool is_sound(Boundary) { return true; }

bool is_sound(const std::vector<Step>& steps) {
  for (const Step& step : steps) {
    if (step.name.empty() ||
        !std::visit([](const auto& what) { return is_sound(what); }, step.what)) {
      return false;
    }
  }
  return true;
}

bool is_sound(const Work& work) {
  for (const SavedTensor& tensor : work.saved) {
    if (tensor.name.empty() || !(tensor.bytes.value > 0) || !std::isfinite(tensor.bytes.value)) {
      return false;
    }
  }
  return work.parameters > 0 && is_sound(work.forward) && is_sound(work.backward);
}

double saved_bytes(const Work& work) {
  double sum = 0;
  for (const SavedTensor& tensor : work.saved) {
    sum += tensor.bytes.value;
  }
  return sum;
}

TEST_CASE("every kernel and tensor of a valid model has a positive size", "[models]") {
  Draw draw(20260124);
  for (int trial = 0; trial < 500; ++trial) {
    const Model model = draw.model();
    const Shard shard = draw.shard();
    CHECK(is_sound(embedding_work(model, shard)));
    CHECK(is_sound(layer_work(model, shard)));
    CHECK(is_sound(attention_work(model, shard)));
    CHECK(is_sound(mlp_work(model, shard)));
    CHECK(is_sound(head_work(model, shard, draw.coin())));
  }
}

TEST_CASE("parameters and FLOPs grow by the same amount with each layer", "[models]") {
  Draw draw(7);
  for (int trial = 0; trial < 200; ++trial) {
    Model model = draw.model();
    const std::int64_t length = draw.number(1, 8192);
    const std::int64_t before = parameters(model);
    const double work_before = forward_flops(model, length).value;
    ++model.layers;
    const std::int64_t step = parameters(model) - before;
    const double work_step = forward_flops(model, length).value - work_before;
    CHECK(step > 0);
    CHECK(work_step > 0);
    ++model.layers;
    CHECK(parameters(model) == before + 2 * step);
    CHECK(forward_flops(model, length).value == Approx(work_before + 2 * work_step));
    CHECK(non_embedding_parameters(model) > 0);
    CHECK(non_embedding_parameters(model) < parameters(model));
  }
}

TEST_CASE("a layer holds and keeps less with more tensor parallelism", "[models]") {
  Draw draw(11);
  for (int trial = 0; trial < 200; ++trial) {
    const Model model = draw.model();
    Shard shard = draw.shard();
    shard.tensor = 4;
    const Work four = layer_work(model, shard);
    shard.tensor = 8;
    const Work eight = layer_work(model, shard);
    CHECK(eight.parameters < four.parameters);
    CHECK(saved_bytes(eight) < saved_bytes(four));
  }
}

}  // namespace
}  // namespace foretrain::testing
