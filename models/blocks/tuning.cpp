// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/tuning.hpp"

#include <algorithm>
#include <array>

namespace foretrain {
namespace {

// clang-format off
constexpr auto kLinears = std::to_array<AdaptedLinear>({
    {"qkv", "qkv", "qkv_input", false},
    {"qkv", "query_down", "", false},
    {"qkv", "query_up", "query_up_input", false},
    {"qkv", "key_value_down", "", false},
    {"qkv", "key_value_up", "key_value_up_input", false},
    {"qkv", "query_key_value_gate", "", false},
    {"qkv", "receptance_key_value_gate", "", false},
    {"projection", "projection", "projection_input", true},
    {"mlp", "mlp_up", "mlp_input", false},
    {"mlp", "mlp_down", "mlp_down_input", true},
    {"experts", "experts_up", "experts_input", false},
    {"experts", "experts_down", "experts_down_input", true},
    {"experts", "shared_experts_up", "", false},
    {"experts", "shared_experts_down", "shared_down_input", true},
    {"head", "lm_head", "lm_head_input", false},
});
// clang-format on

const Gemm* linear_in(const Step& step) {
  const auto* gemm = std::get_if<Gemm>(&step.what);
  return step.is_attention_core ? nullptr : gemm;
}

// The linear layer that a product belongs to: "qkv" of "qkv_input_gradient".
const AdaptedLinear* linear_of(std::string_view step) {
  for (const AdaptedLinear& row : kLinears) {
    if (step.starts_with(row.linear)) {
      return &row;
    }
  }
  return nullptr;
}

bool is_core_fused(const Work& work) {
  return std::any_of(work.forward.begin(), work.forward.end(), [](const Step& step) {
    return std::holds_alternative<FlashAttention>(step.what);
  });
}

class Tuner {
 public:
  Tuner(const Work& work, const BlockTuning& tuning) : work_(work), tuning_(tuning) {}

  Work tune() {
    tuned_ = work_;
    if (tuning_.is_frozen) {
      tuned_.frozen = work_.parameters;
      tuned_.frozen_experts = work_.expert_parameters;
    }
    tuned_.forward.clear();
    for (const Step& step : work_.forward) {
      add_forward(step);
    }
    tuned_.backward.clear();
    tuned_.saved.clear();
    if (tuning_.has_backward) {
      for (const Step& step : work_.backward) {
        add_backward(step);
      }
      keep();
    }
    return tuned_;
  }

 private:
  [[nodiscard]] bool is_adapted(const AdaptedLinear* linear) const {
    return tuning_.adapter_rank > 0 && linear != nullptr &&
           std::find(tuning_.adapter_targets.begin(), tuning_.adapter_targets.end(),
                     linear->target) != tuning_.adapter_targets.end();
  }

  // A router is too small, and too sensitive, to be quantised.
  [[nodiscard]] bool is_quantised(const Step& step) const {
    return tuning_.is_frozen && tuning_.quantised_bytes > 0 && !step.name.starts_with("router") &&
           !step.name.starts_with("shared_gate");
  }

  // Reads the quantised weight, writes it in 16 bit.
  void dequantise(std::vector<Step>& steps, const Step& step, const Gemm& gemm) {
    if (is_quantised(step)) {
      const double weights = static_cast<double>(gemm.batch * gemm.n) * static_cast<double>(gemm.k);
      steps.push_back(
          like(step, "dequantise",
               MemoryBound{MemoryOp::streaming, Bytes((tuning_.quantised_bytes + 2) * weights)}));
    }
  }

  // Where the other stands: beside the experts, or not.
  static Step like(const Step& other, std::string_view name, decltype(Step::what) what) {
    Step step = other;
    step.name = name;
    step.what = what;
    return step;
  }
  static Gemm product(const Gemm& like, std::int64_t m, std::int64_t n, std::int64_t k) {
    Gemm gemm = like;
    gemm.m = m;
    gemm.n = n;
    gemm.k = k;
    return gemm;
  }
  // Onto what the frozen product wrote: read and written.
  static Gemm onto(Gemm gemm) {
    gemm.output_bytes *= 2;
    return gemm;
  }

  void add_forward(const Step& step) {
    const Gemm* gemm = linear_in(step);
    if (gemm == nullptr) {
      tuned_.forward.push_back(step);
      return;
    }
    const AdaptedLinear* linear = linear_of(step.name);
    dequantise(tuned_.forward, step, *gemm);
    tuned_.quantised += is_quantised(step) ? gemm->batch * gemm->n * gemm->k : std::int64_t{0};
    tuned_.forward.push_back(step);
    if (is_adapted(linear)) {
      const std::int64_t rank = tuning_.adapter_rank;
      tuned_.forward.push_back(like(step, "adapter_down", product(*gemm, gemm->m, rank, gemm->k)));
      tuned_.forward.push_back(
          like(step, "adapter_up", onto(product(*gemm, gemm->m, gemm->n, rank))));
      const std::int64_t added = gemm->batch * rank * (gemm->n + gemm->k);
      tuned_.parameters += added;
      if (work_.expert_parameters > 0 && linear->linear.starts_with("experts_")) {
        tuned_.expert_parameters += added;
      }
      tuned_.repeated += gemm->batch * rank * (linear->is_row_parallel ? gemm->n : gemm->k);
      hidden_ += static_cast<double>(gemm->batch * gemm->m) * static_cast<double>(rank) *
                 gemm->output_bytes;
    }
  }

  void add_backward(const Step& step) {
    const Gemm* gemm = linear_in(step);
    const AdaptedLinear* linear = linear_of(step.name);
    const std::int64_t rank = tuning_.adapter_rank;
    if (gemm != nullptr && gemm->pass == GemmPass::weight_gradient) {
      if (!tuning_.is_frozen) {
        tuned_.backward.push_back(step);
      }
      if (is_adapted(linear)) {
        tuned_.backward.push_back(
            like(step, "adapter_up_weight_gradient", product(*gemm, gemm->m, rank, gemm->k)));
        tuned_.backward.push_back(
            like(step, "adapter_down_weight_gradient", product(*gemm, rank, gemm->n, gemm->k)));
      }
      return;
    }
    if (tuning_.is_frozen && step.name.ends_with("bias_gradient")) {
      return;
    }
    if (gemm != nullptr) {
      dequantise(tuned_.backward, step, *gemm);
    }
    tuned_.backward.push_back(step);
    if (gemm != nullptr && is_adapted(linear)) {
      tuned_.backward.push_back(
          like(step, "adapter_up_input_gradient", product(*gemm, gemm->m, rank, gemm->k)));
      tuned_.backward.push_back(
          like(step, "adapter_down_input_gradient", onto(product(*gemm, gemm->m, gemm->n, rank))));
    }
  }

  // A frozen product needs its weight for the gradient that it passes on, but not its input. Fused
  // attention reads its output again, which is the projection's input.
  void keep() {
    for (const SavedTensor& tensor : work_.saved) {
      const auto* const linear =
          std::find_if(kLinears.begin(), kLinears.end(),
                       [&](const AdaptedLinear& row) { return row.saved == tensor.name; });
      const bool is_needed = linear == kLinears.end() || !tuning_.is_frozen ||
                             is_adapted(&*linear) ||
                             (tensor.name == "projection_input" && is_core_fused(work_));
      if (is_needed) {
        tuned_.saved.push_back(tensor);
      }
    }
    if (hidden_ > 0) {
      tuned_.saved.push_back({"adapter_hidden", Bytes(hidden_), false});
    }
  }

  const Work& work_;
  const BlockTuning& tuning_;
  Work tuned_;
  double hidden_ = 0;  // bytes between the halves of the adapters
};

}  // namespace

std::span<const AdaptedLinear> adapted_linears() { return kLinears; }

Work tuned(const Work& work, const BlockTuning& tuning) {
  const bool is_whole = !tuning.is_frozen && tuning.has_backward && tuning.adapter_rank == 0;
  return is_whole ? work : Tuner(work, tuning).tune();
}

}  // namespace foretrain
