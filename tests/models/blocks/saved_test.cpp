// Activation memory per layer against Korthikanti et al. 2022, section 4, to the byte.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/blocks.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

// b = sequences, s = tokens, h = hidden, a = heads, t = tensor-parallel ranks.
constexpr double kB = 4;
constexpr double kS = 2048;
constexpr double kH = 6144;
constexpr double kA = 64;
constexpr double kT = 8;
// s b h, and the scores' a s^2 b, which the paper writes as s b h times a s / h.
constexpr double kStream = kS * kB * kH;
constexpr double kScores = kA * kS * kS * kB;

Shard with_dropout(std::int64_t tensor, bool sequence_parallel) {
  Shard result = shard(4, 2048, tensor);
  result.kernels.dropout = true;
  result.sequence_parallel = sequence_parallel;
  return result;
}

double total(const Work& work) {
  Bytes sum;
  for (const SavedTensor& tensor : work.saved) {
    sum += tensor.bytes;
  }
  return sum.value;
}

double outside_core(const Work& work) {
  Bytes sum;
  for (const SavedTensor& tensor : work.saved) {
    sum += tensor.is_attention_core ? Bytes(0) : tensor.bytes;
  }
  return sum.value;
}

TEST_CASE("a layer keeps s b h (34 + 5 a s / h) bytes", "[models]") {
  CHECK(total(layer_work(gpt(1, 6144, 64), with_dropout(1, false))) == 34 * kStream + 5 * kScores);
}

TEST_CASE("tensor parallelism leaves s b h (10 + 24 / t + 5 a s / (h t)) bytes", "[models]") {
  CHECK(total(layer_work(gpt(1, 6144, 64), with_dropout(8, false))) ==
        (10 + 24 / kT) * kStream + 5 * kScores / kT);
}

TEST_CASE("sequence parallelism leaves s b h / t (34 + 5 a s / h) bytes", "[models]") {
  CHECK(total(layer_work(gpt(1, 6144, 64), with_dropout(8, true))) ==
        (34 * kStream + 5 * kScores) / kT);
}

TEST_CASE("selective recomputation leaves s b h 34 / t bytes", "[models]") {
  CHECK(outside_core(layer_work(gpt(1, 6144, 64), with_dropout(8, true))) == 34 * kStream / kT);
  CHECK(outside_core(layer_work(gpt(1, 6144, 64), with_dropout(8, false))) ==
        kStream * (10 + 24 / kT));
}

TEST_CASE("attention keeps 11 s b h + 5 a s^2 b bytes and the MLP 19 s b h", "[models]") {
  // Each with the 2 s b h of its norm's input.
  const Model model = gpt(1, 6144, 64);
  CHECK(total(attention_work(model, with_dropout(1, false))) == 13 * kStream + 5 * kScores);
  CHECK(total(mlp_work(model, with_dropout(1, false))) == 21 * kStream);
}

TEST_CASE("without dropout the masks and the dropped scores are not kept", "[models]") {
  // Two masks of s b h; of the scores only the softmax output, 2 a s^2 b.
  CHECK(total(layer_work(gpt(1, 6144, 64), shard(4, 2048, 1))) == 32 * kStream + 2 * kScores);
}

TEST_CASE("flash attention keeps no s^2 tensor", "[models]") {
  Shard flash = with_dropout(8, true);
  flash.kernels.attention = AttentionKernel::flash2;
  // 34 s b h / t and one fp32 number per query and head; the latter is recomputed if selective.
  const Work layer = layer_work(gpt(1, 6144, 64), flash);
  CHECK(total(layer) == 34 * kStream / kT + 4 * kS * kB * kA / kT);
  CHECK(outside_core(layer) == 34 * kStream / kT);
}

TEST_CASE("parallel branches keep their shared input and mask once", "[models]") {
  // 34 less one norm input of 2 and one mask of 1.
  CHECK(outside_core(layer_work(neox(1, 6144, 64), with_dropout(1, false))) == 31 * kStream);
}

TEST_CASE("a llama layer keeps what its shared heads and its gate make", "[models]") {
  // f = 3 h, q = a / 4. Norm inputs 2 + 2, linear inputs 2 + 2, Q 2, K and V 2 x 2 / 4, projection
  // input 2; gate and up 2 x 2 x 3, down input 2 x 3.
  Shard one = shard(4, 2048, 1);
  one.kernels.attention = AttentionKernel::flash2;
  const Model model = llama(1, 6144, 64);
  CHECK(outside_core(layer_work(model, one)) == (12 + 1 + 12 + 6) * kStream);
  one.kernels.fused_activation = false;  // the output of silu too: 2 x 3
  CHECK(outside_core(layer_work(model, one)) == (12 + 1 + 12 + 6 + 6) * kStream);
}

TEST_CASE("unfused attention repeats shared heads, and keeps the copies in the core", "[models]") {
  // K and V of a instead of a / 4 heads: 2 x 2 s b h x 3 / 4 more, and the softmax output.
  const Work layer = attention_work(llama(1, 6144, 64), shard(4, 2048, 1));
  CHECK(total(layer) - outside_core(layer) == 3 * kStream + 2 * kScores);
}

TEST_CASE("the head keeps 4 s b h / t (1 + V / h) bytes", "[models]") {
  // Korthikanti et al., section 4.3: final norm 2, head input 2, logits in fp32 4 s b V / t.
  CHECK(total(head_work(gpt(1, 6144, 64), with_dropout(8, true), false)) ==
        4 * kStream / kT * (1 + 51200 / kH));
}

TEST_CASE("the embedding keeps its dropout mask", "[models]") {
  CHECK(total(embedding_work(gpt(1, 6144, 64), with_dropout(8, true))) == kStream / kT);
  CHECK(total(embedding_work(gpt(1, 6144, 64), shard(4, 2048, 8))) == 0);
}

TEST_CASE("every expert's rank keeps the routed copies of all tokens", "[models]") {
  // Router input 2 h, probabilities 4 E, copies in and out 2 x 2 k h; inside the experts, of t
  // ranks each 1 / t: gate and up 4 f k, down input 2 f k. k = 2, E = 8, f = 3 h.
  Shard part = shard(4, 2048, 8);
  const double per_token = 2 * kH + 2 * kH + 4 * 8 + 8 * kH + (4 + 2) * 3 * kH * 2 / kT;
  CHECK(total(mlp_work(mixtral(1, 6144, 64), part)) == kS * kB * per_token);
}

}  // namespace
}  // namespace foretrain::testing
