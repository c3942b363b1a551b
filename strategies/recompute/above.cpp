// Recomputation by size: a layer's activations larger than training.recompute_above are not kept,
// and the steps that made them run again from what is kept. What nobody knows how to make again
// (the layer's input, a router's choice) is kept whatever its size.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain::recompute {
namespace {

/// A saved tensor, and the steps of a layer that make it from other saved tensors. A row is for
/// layers that have its first step; of the others those that a layer has.
struct Producer {
  std::string_view tensor;
  std::array<std::string_view, 6> steps;
};

constexpr std::string_view kCore = "attention core";  // all steps that are marked so

// clang-format off
constexpr auto kProducers = std::to_array<Producer>({
    {"qkv_input", {"attention_norm"}},
    {"queries", {"qkv", "rotary"}},
    {"queries", {"query_up", "rotary"}},
    {"keys", {"qkv", "rotary"}},
    {"keys", {"key_value_up", "rotary"}},
    {"values", {"qkv"}},
    {"values", {"key_value_up"}},
    {"softmax_statistics", {kCore}},
    {"softmax_output", {kCore}},
    {"attention_dropout_mask", {kCore}},
    {"attention_dropout_output", {kCore}},
    {"repeated_keys_values", {kCore}},
    {"projection_input", {kCore}},
    {"mlp_norm_input", {"projection", "attention_dropout_add", "attention_output_bias", "attention_output_dropout", "attention_add"}},
    {"mlp_input", {"mlp_norm"}},
    {"router_input", {"mlp_norm"}},
    {"activation_input", {"mlp_up", "mlp_bias"}},
    {"activation_input", {"experts_up", "mlp_bias"}},
    {"gate_and_up", {"mlp_up", "mlp_bias"}},
    {"gate_and_up", {"experts_up", "mlp_bias"}},
    {"activation_output", {"activation"}},
    {"mlp_down_input", {"activation", "gate_product"}},
    {"mlp_down_input", {"gated_activation"}},
    {"experts_down_input", {"activation", "gate_product"}},
    {"experts_down_input", {"gated_activation"}},
});
// clang-format on

bool is_named(const Step& step, std::string_view name) {
  return (step.is_attention_core && name == kCore) || step.name == name;
}

bool makes(const Producer& producer, const Step& step) {
  return std::any_of(producer.steps.begin(), producer.steps.end(),
                     [&](std::string_view name) { return is_named(step, name); });
}

// How this layer makes a tensor; null when nobody knows.
const Producer* producer_in(const Work& layer, const SavedTensor& tensor) {
  for (const Producer& row : kProducers) {
    const bool is_there =
        std::any_of(layer.forward.begin(), layer.forward.end(),
                    [&](const Step& step) { return is_named(step, row.steps.front()); });
    if (row.tensor == tensor.name && is_there) {
      return &row;
    }
  }
  return nullptr;
}

bool is_dropped(const Run& run, const Work& layer, const SavedTensor& tensor) {
  return tensor.bytes > run.training.recompute_above && producer_in(layer, tensor) != nullptr;
}

// Where a product runs again, so do the gather before it and the sum after it: what is kept is on
// this side of the boundary of the tensor-parallel region.
void add_boundaries(const Work& layer, std::vector<bool>& runs) {
  for (std::size_t i = 0; i < layer.forward.size(); ++i) {
    const auto* const boundary = std::get_if<Boundary>(&layer.forward[i].what);
    if (boundary == nullptr) {
      continue;
    }
    const bool is_entry = *boundary == Boundary::enter_tensor_parallel;
    const bool before = i > 0 && runs[i - 1];
    const bool after = i + 1 < runs.size() && runs[i + 1];
    runs[i] = is_entry ? after : before && after;
  }
}

}  // namespace

std::vector<Step> above_again(const Run& run, const Work& layer) {
  std::vector<bool> runs(layer.forward.size(), false);
  for (const SavedTensor& tensor : layer.saved) {
    if (!is_dropped(run, layer, tensor)) {
      continue;
    }
    const Producer& producer = *producer_in(layer, tensor);
    for (std::size_t i = 0; i < layer.forward.size(); ++i) {
      runs[i] = runs[i] || makes(producer, layer.forward[i]);
    }
  }
  add_boundaries(layer, runs);
  std::vector<Step> steps;
  for (std::size_t i = 0; i < layer.forward.size(); ++i) {
    if (runs[i]) {
      steps.push_back(layer.forward[i]);
    }
  }
  return steps;
}

Bytes above_kept(const Run& run, const Work& layer) {
  Bytes kept;
  for (const SavedTensor& tensor : layer.saved) {
    kept += is_dropped(run, layer, tensor) ? Bytes(0) : tensor.bytes;
  }
  return Bytes(std::ceil(kept.value));
}

// Sizes are of one rank: its products, times the ranks that share a sequence. The attention core
// counts in full, as in model FLOPs.
Flops above_flops(const Run& run) {
  const StageShape shape = stage_shape(run, 0);
  const double ranks = static_cast<double>(run.parallel.tensor * run.parallel.context) /
                       static_cast<double>(run.training.micro_batch);
  Flops again;
  bool has_core = false;
  for (std::int64_t layer = 0; layer < run.model.layers; ++layer) {
    for (const Step& step : shape.layer(layer).recomputed) {
      const auto* gemm = std::get_if<Gemm>(&step.what);
      has_core = has_core || step.is_attention_core;
      if (gemm != nullptr && !step.is_attention_core) {
        again += ranks * flops(Kernel{NameId(0), *gemm});
      }
    }
  }
  return again + (has_core ? selective_flops(run) : Flops(0));
}

}  // namespace foretrain::recompute
