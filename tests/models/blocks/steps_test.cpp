// Which kernels run in which order, where tensor parallelism communicates, and what memory-bound
// kernels move.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Names = std::vector<std::string>;

Names names(const std::vector<Step>& steps) {
  Names list;
  for (const Step& step : steps) {
    list.emplace_back(step.name);
  }
  return list;
}

/// The traffic of the steps of that name, per element of `elements`.
double bytes_per(double elements, const std::vector<Step>& steps, std::string_view name) {
  double sum = 0;
  for (const Step& step : steps) {
    if (step.name == name) {
      sum += std::get<MemoryBound>(step.what).bytes.value;
    }
  }
  return sum / elements;
}

double all_bytes(const std::vector<Step>& steps) {
  double sum = 0;
  for (const Step& step : steps) {
    if (const auto* memory = std::get_if<MemoryBound>(&step.what)) {
      sum += memory->bytes.value;
    }
  }
  return sum;
}

TEST_CASE("a layer runs norm, region, residual for attention and then for the MLP", "[models]") {
  Shard part = shard(1, 256, 2);
  part.kernels.dropout = true;
  const Work layer = layer_work(gpt(1, 512, 8), part);
  CHECK(names(layer.forward) ==
        Names{"attention_norm", "enter_tensor_parallel", "qkv", "attention_score", "softmax",
              "attention_dropout", "attention_context", "merge_heads", "projection",
              "leave_tensor_parallel", "attention_dropout_add", "mlp_norm", "enter_tensor_parallel",
              "mlp_up", "activation", "mlp_down", "leave_tensor_parallel", "mlp_dropout_add"});
}

TEST_CASE("backward mirrors forward, and ends a region with its entering GEMMs' gradients",
          "[models]") {
  Shard part = shard(1, 256, 2);
  part.kernels.dropout = true;
  CHECK(names(mlp_work(gpt(1, 512, 8), part).backward) ==
        Names{"mlp_output_dropout_gradient", "mlp_output_bias_gradient", "leave_tensor_parallel",
              "mlp_down_input_gradient", "mlp_down_weight_gradient", "activation_gradient",
              "mlp_up_bias_gradient", "mlp_up_input_gradient", "mlp_up_weight_gradient",
              "enter_tensor_parallel", "mlp_norm_gradient", "residual_gradient_add"});
  CHECK(names(attention_work(gpt(1, 512, 8), part).backward) ==
        Names{"attention_output_dropout_gradient", "attention_output_bias_gradient",
              "leave_tensor_parallel", "projection_input_gradient", "projection_weight_gradient",
              "attention_probability_gradient", "value_gradient", "attention_dropout_gradient",
              "softmax_gradient", "query_gradient", "key_gradient", "qkv_bias_gradient",
              "qkv_input_gradient", "qkv_weight_gradient", "enter_tensor_parallel",
              "attention_norm_gradient", "residual_gradient_add"});
}

TEST_CASE("a layer enters and leaves twice and a parallel residual leaves once", "[models]") {
  for (const std::int64_t t : {1, 2}) {
    const Work serial = layer_work(gpt(1, 512, 8), shard(1, 256, t));
    const Work parallel = layer_work(neox(1, 512, 8), shard(1, 256, t));
    for (const Boundary boundary :
         {Boundary::enter_tensor_parallel, Boundary::leave_tensor_parallel}) {
      CHECK(count_of(serial.forward, boundary) == 2);
      CHECK(count_of(serial.backward, boundary) == 2);
      // Each branch has a norm, hence an input, of its own; their outputs are summed once.
      const int expected = boundary == Boundary::enter_tensor_parallel ? 2 : 1;
      CHECK(count_of(parallel.forward, boundary) == expected);
      CHECK(count_of(parallel.backward, boundary) == expected);
    }
  }
}

TEST_CASE("a parallel residual enters once per branch and leaves once for both", "[models]") {
  CHECK(names(layer_work(neox(1, 512, 8), shard(1, 256, 2)).forward) ==
        Names{"attention_norm", "enter_tensor_parallel", "qkv", "rotary", "attention_score",
              "softmax", "attention_context", "merge_heads", "projection", "mlp_norm",
              "enter_tensor_parallel", "mlp_up", "activation", "mlp_down", "branch_add",
              "leave_tensor_parallel", "dropout_add"});
}

TEST_CASE("the gradients of a branch of a parallel residual stand last in its region", "[models]") {
  const Names backward = names(layer_work(neox(1, 512, 8), shard(1, 256, 2)).backward);
  const auto boundary = std::find(backward.begin(), backward.end(), "enter_tensor_parallel");
  REQUIRE(boundary - backward.begin() > 2);
  CHECK(Names(boundary - 2, boundary) == Names{"mlp_up_input_gradient", "mlp_up_weight_gradient"});
}

TEST_CASE("the embedding sums over ranks once, the head enters once", "[models]") {
  const Model model = gpt(1, 512, 8);
  const Work embedding = embedding_work(model, shard(1, 256, 2));
  CHECK(names(embedding.forward) ==
        Names{"token_lookup", "token_mask", "leave_tensor_parallel", "position_add"});
  CHECK(names(embedding.backward) == Names{"position_gradient", "leave_tensor_parallel",
                                           "token_gradient_clear", "token_gradient"});
  const Work head = head_work(model, shard(1, 256, 2), false);
  CHECK(names(head.forward) ==
        Names{"final_norm", "enter_tensor_parallel", "lm_head", "cross_entropy", "sum_loss"});
  CHECK(names(head.backward) == Names{"cross_entropy_gradient", "lm_head_input_gradient",
                                      "lm_head_weight_gradient", "enter_tensor_parallel",
                                      "final_norm_gradient"});
}

TEST_CASE("the steps between queries and values are the attention core", "[models]") {
  Shard part = shard(1, 256, 2);
  part.kernels.dropout = true;
  Names core;
  for (const Step& step : layer_work(gpt(1, 512, 8), part).forward) {
    if (step.is_attention_core) {
      core.emplace_back(step.name);
    }
  }
  CHECK(core == Names{"attention_score", "softmax", "attention_dropout", "attention_context",
                      "merge_heads"});
}

TEST_CASE("weight gradients are rows x columns over tokens, with the stack's output bytes",
          "[models]") {
  Shard part = shard(2, 256, 2);
  part.kernels.weight_gradient_output_bytes = 8;
  std::int64_t found = 0;
  for (const Step& step : layer_work(gpt(1, 512, 8), part).backward) {
    const auto* gemm = std::get_if<Gemm>(&step.what);
    if (gemm != nullptr && gemm->pass == GemmPass::weight_gradient) {
      ++found;
      CHECK(gemm->k == 512);
      CHECK(gemm->output_bytes == 8);
      if (step.name == "mlp_up_weight_gradient") {
        CHECK(gemm->m == 4 * 512 / 2);
        CHECK(gemm->n == 512);
      }
    }
  }
  CHECK(found == 4);
}

TEST_CASE("memory-bound kernels move what they read and write", "[models]") {
  Shard one = shard(1, 256, 1);
  one.kernels.dropout = true;
  const double hidden = 256.0 * 512;
  const double scores = 8.0 * 256 * 256;
  const Work layer = layer_work(gpt(1, 512, 8), one);
  CHECK(bytes_per(hidden, layer.forward, "attention_norm") == 4);     // read 2, write 2
  CHECK(bytes_per(scores, layer.forward, "softmax") == 4);            // read 2, write 2
  CHECK(bytes_per(scores, layer.forward, "attention_dropout") == 5);  // and a mask of 1
  CHECK(bytes_per(4 * hidden, layer.forward, "activation") == 4);     // read 2, write 2
  CHECK(bytes_per(hidden, layer.forward, "mlp_dropout_add") == 7);    // read 2 + 2, write 2 + 1
  CHECK(bytes_per(scores, layer.backward, "softmax_gradient") == 6);  // read 2 + 2, write 2
  CHECK(bytes_per(4 * hidden, layer.backward, "activation_gradient") == 6);
  CHECK(bytes_per(hidden, layer.backward, "mlp_output_dropout_gradient") == 5);
  CHECK(bytes_per(2 * hidden, layer.backward, "residual_gradient_add") == 6);  // of both blocks
}

TEST_CASE("a gated activation reads two tensors, its rotary moves rotated heads only", "[models]") {
  const Shard one = shard(1, 256, 1);
  const double ffn = 256.0 * 3 * 512;
  Model model = llama(1, 512, 8);
  model.rotary_fraction = 0.5;
  const Work layer = layer_work(model, one);
  CHECK(bytes_per(ffn, layer.forward, "gated_activation") == 6);
  CHECK(bytes_per(ffn, layer.backward, "gated_activation_gradient") == 10);
  // q of h and k of h / 4 elements per token, half of them rotated, read and written.
  CHECK(bytes_per(256.0 * 512, layer.forward, "rotary") == 4 * 1.25 * 0.5);
}

TEST_CASE("sequence parallelism divides norms, dropouts and residuals, and nothing else",
          "[models]") {
  Shard all = shard(1, 256, 4);
  all.kernels.dropout = true;
  Shard part = all;
  part.sequence_parallel = true;
  const Work whole = layer_work(gpt(1, 512, 8), all);
  const Work divided = layer_work(gpt(1, 512, 8), part);
  const Names outside = {"attention_norm", "attention_dropout_add", "mlp_norm", "mlp_dropout_add"};
  REQUIRE(names(whole.forward) == names(divided.forward));
  for (std::size_t i = 0; i < whole.forward.size(); ++i) {
    const auto* memory = std::get_if<MemoryBound>(&whole.forward[i].what);
    if (memory == nullptr) {
      CHECK(whole.forward[i].what.index() == divided.forward[i].what.index());
      continue;
    }
    const Names& list = outside;
    const bool is_outside =
        std::find(list.begin(), list.end(), whole.forward[i].name) != list.end();
    INFO(whole.forward[i].name);
    CHECK(std::get<MemoryBound>(divided.forward[i].what).bytes ==
          memory->bytes / (is_outside ? 4 : 1));
  }
}

TEST_CASE("every fusion saves memory traffic", "[models]") {
  Shard fused = shard(1, 256, 2);
  fused.kernels.dropout = true;
  Model model = llama(1, 512, 8);
  model.mlp_bias = true;
  const double least = all_bytes(layer_work(model, fused).forward);
  for (bool KernelChoices::*choice :
       {&KernelChoices::fused_activation, &KernelChoices::fused_dropout_add,
        &KernelChoices::fused_rotary}) {
    Shard unfused = fused;
    unfused.kernels.*choice = false;
    CHECK(all_bytes(layer_work(model, unfused).forward) > least);
  }
}

TEST_CASE("ALiBi is laid out under the scores and accumulated onto", "[models]") {
  Model model = gpt(1, 512, 8);
  model.position = PositionKind::alibi;
  const Work work = attention_work(model, shard(1, 256, 1));
  CHECK(bytes_per(8.0 * 256 * 256, work.forward, "alibi_bias") == 2);
  for (const Step& step : work.forward) {
    if (step.name == "attention_score") {
      CHECK(std::get<Gemm>(step.what).output_bytes == 4);
    }
  }
}

TEST_CASE("fp8 is for the large GEMMs, which read cast inputs", "[models]") {
  Shard low = shard(1, 256, 1);
  low.dtype = Dtype::fp8;
  const Model model = gpt(1, 512, 8);
  const Work layer = layer_work(model, low);
  for (const Step& step : layer.forward) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      INFO(step.name);
      CHECK(gemm->dtype == (step.is_attention_core ? Dtype::bf16 : Dtype::fp8));
      CHECK(gemm->output_bytes == 2);
    }
  }
  // Inputs of qkv, projection and up are h wide, that of down 4 h: 7 h, read 2, write 1 + 1.
  CHECK(bytes_per(256.0 * 512, layer.forward, "cast_to_fp8") == 4 * 7);
  for (const Step& step : head_work(model, low, false).forward) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      CHECK(gemm->dtype == Dtype::bf16);
    }
  }
}

TEST_CASE("fp4 is cast like fp8, in nine sixteenths of a byte", "[models]") {
  Shard low = shard(1, 256, 1);
  low.dtype = Dtype::fp4;
  const Work layer = layer_work(gpt(1, 512, 8), low);
  // As under fp8: 7 h of inputs, read 2, write 0.5625 twice.
  CHECK(bytes_per(256.0 * 512, layer.forward, "cast_to_fp4") == (2 + 2 * 0.5625) * 7);
}

TEST_CASE("the experts alone are a grouped GEMM", "[models]") {
  Model model = gpt(1, 512, 8);
  model.moe = MixtureOfExperts{8, 2};
  const Work layer = layer_work(model, shard(1, 256, 1));
  for (const std::vector<Step>& steps : {layer.forward, layer.backward}) {
    for (const Step& step : steps) {
      if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
        INFO(step.name);
        CHECK(gemm->is_grouped == step.name.starts_with("experts"));
      }
    }
  }
}

TEST_CASE("kernels that work by rows say how many rows and how wide", "[models]") {
  Shard four = shard(1, 256, 4);
  four.sequence_parallel = true;
  for (const Step& step : layer_work(gpt(1, 512, 8), four).forward) {
    if (step.name == "attention_norm") {
      const auto& norm = std::get<MemoryBound>(step.what);
      CHECK(norm.rows == 64);             // 256 tokens over 4 ranks
      CHECK(norm.row_elements == 512.0);  // one read and one write of each
    }
    if (step.name == "softmax") {
      const auto& softmax = std::get<MemoryBound>(step.what);
      CHECK(softmax.rows == 2 * 256);  // 8 heads over 4 ranks, a row per query
      CHECK(softmax.row_elements == 256.0);
    }
  }
}

TEST_CASE("an eager framework moves the bytes per element that its stack says", "[models]") {
  Shard part = shard(2, 256, 2);
  const Work fused = layer_work(gpt(1, 512, 8), part);
  part.kernels.eager_norm_forward_bytes = 30;
  part.kernels.eager_norm_backward_bytes = 44;
  part.kernels.eager_softmax_bytes = 21;
  part.kernels.extra_layer_bytes = 17;
  part.kernels.extra_layer_gradient_bytes = 19;
  const Work layer = layer_work(gpt(1, 512, 8), part);
  const double stream = 2 * 256 * 512;
  const double scores = 2 * 4 * 256 * 256;  // of 4 of 8 heads
  CHECK(bytes_per(stream, layer.forward, "attention_norm") == 30);
  CHECK(bytes_per(stream, layer.forward, "mlp_norm") == 30);
  CHECK(bytes_per(stream, layer.backward, "mlp_norm_gradient") == 44);
  CHECK(bytes_per(scores, layer.forward, "softmax") == 21);
  CHECK(bytes_per(stream, layer.forward, "eager_copies") == 17);
  CHECK(bytes_per(stream, layer.backward, "eager_gradient_copies") == 19);
  CHECK(layer.parameters == fused.parameters);
  // Beside a norm's input in 16 bit: it and the output in fp32.
  for (const SavedTensor& tensor : layer.saved) {
    if (tensor.name == "attention_norm_input") {
      CHECK(tensor.bytes.value == 10 * stream);
    }
  }
}

}  // namespace
}  // namespace foretrain::testing
