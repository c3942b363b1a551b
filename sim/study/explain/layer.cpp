// One layer for one micro-batch on one GPU: its kernels one by one, and what it keeps.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "platforms/gpu.hpp"
#include "sim/study/explain/explain.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

template <class Shape>
constexpr bool kIsKernel = std::is_same_v<Shape, Gemm> || std::is_same_v<Shape, FlashAttention> ||
                           std::is_same_v<Shape, MemoryBound>;

}  // namespace

std::optional<Kernel> kernel_of(const Step& step) {
  return std::visit(
      [](const auto& shape) -> std::optional<Kernel> {
        if constexpr (kIsKernel<std::decay_t<decltype(shape)>>) {
          return Kernel{NameId(0), shape};
        } else {
          return std::nullopt;
        }
      },
      step.what);
}

namespace {

Term term_of(const Gemm& gemm) {
  const std::string batch = gemm.batch > 1 ? fmt::format("{} x ", gemm.batch) : "";
  Term term;
  term.formula = gemm.batch > 1 ? "2 batch m n k" : "2 m n k";
  term.numbers = fmt::format("2 x {}{} x {} x {}", batch, gemm.m, gemm.n, gemm.k);
  term.unit = "FLOP";
  return term;
}

Term term_of(const FlashAttention& flash) {
  Term term;
  term.formula = flash.is_causal ? "2 b a s k (d + d) / 2" : "2 b a s k (d + d)";
  term.numbers = fmt::format("2 x {} x {} x {} x {} x ({} + {}){}", flash.batch, flash.heads,
                             flash.query_length, flash.key_length, flash.qk_head_dim,
                             flash.v_head_dim, flash.is_causal ? " / 2" : "");
  term.unit = "FLOP";
  return term;
}

Term term_of(const MemoryBound& kernel) {
  Term term;
  term.value = kernel.bytes.value;
  term.unit = "B";
  return term;
}

// A collective or a message in the place of a kernel.
template <class Other>
Term term_of(const Other&) {
  return {};
}

Term explained(const Step& step, const Kernel& kernel, const Gpu& gpu) {
  Term term = std::visit([](const auto& shape) { return term_of(shape); }, step.what);
  term.quantity = std::string(step.name);
  if (term.unit == "FLOP") {
    term.value = flops(kernel).value;
  }
  term.time = kernel_time(kernel, gpu);
  return term;
}

Term sum_of(const std::string& quantity, const std::vector<Step>& steps, const Gpu& gpu) {
  Flops work;
  Seconds time;
  int count = 0;
  for (const Step& step : steps) {
    if (const auto kernel = kernel_of(step)) {
      work += flops(*kernel);
      time += kernel_time(*kernel, gpu);
      ++count;
    }
  }
  return {quantity, "", fmt::format("{} kernels", count), work.value, "FLOP", "", {}, "", time};
}

// All saved tensors, largest first.
std::string parts_of(const Work& work) {
  std::vector<SavedTensor> tensors = work.saved;
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const SavedTensor& a, const SavedTensor& b) { return a.bytes > b.bytes; });
  std::string text;
  for (const SavedTensor& tensor : tensors) {
    text +=
        fmt::format("{}{} {}", text.empty() ? "" : " + ", tensor.name, si(tensor.bytes.value, "B"));
  }
  return text;
}

// Korthikanti et al. 2022, Table 2, for layers such as theirs: four times as wide as the stream in
// the MLP, all heads with keys of their own, dropout after both blocks.
std::optional<Term> korthikanti(const Run& run, const LayerShape& layer) {
  const Model& model = run.model;
  const bool is_theirs = model.mlp == MlpKind::plain && model.ffn == 4 * model.hidden &&
                         model.kv_heads == model.heads && !model.moe && !model.parallel_residual &&
                         run.stack.kernels.dropout &&
                         run.stack.kernels.attention == AttentionKernel::unfused &&
                         num_layer_kinds(model) == 1 && run.parallel.context == 1;
  if (!is_theirs) {
    return std::nullopt;
  }
  const auto s = static_cast<double>(run.training.sequence_length);
  const auto b = static_cast<double>(run.training.micro_batch);
  const auto h = static_cast<double>(model.hidden);
  const auto a = static_cast<double>(model.heads);
  const auto t = static_cast<double>(run.parallel.tensor);
  const double outside = run.parallel.sequence_parallel ? 10 / t : 10;
  return Term{"kept for backward, closed form",
              run.parallel.sequence_parallel ? "s b h (34 + 5 a s / h) / t"
                                             : "s b h (10 + 24 / t + 5 a s / (h t))",
              fmt::format("{} x {} x {} x ({} + 24 / {} + 5 x {} x {} / ({} x {}))", s, b, h,
                          outside, t, a, s, h, t),
              s * b * h * (outside + 24 / t + 5 * a * s / (h * t)),
              "B",
              "Korthikanti et al. 2022, Table 2",
              layer.saved.value,
              "tensors of the layer"};
}

Chapter explain_layer(const Run& run, std::int64_t number, const LayerShape& layer) {
  const Gpu& gpu = run.cluster.gpu;
  Chapter chapter{fmt::format("Layer {}, one micro-batch ({} x {} tokens), one GPU ({})", number,
                              run.training.micro_batch,
                              run.training.sequence_length / run.parallel.context, gpu.name),
                  {}};
  for (const Step& step : layer.work.forward) {
    if (const auto kernel = kernel_of(step)) {
      chapter.terms.push_back(explained(step, *kernel, gpu));
    }
  }
  chapter.terms.push_back(sum_of("forward", layer.work.forward, gpu));
  chapter.terms.push_back(sum_of("backward", layer.work.backward, gpu));
  if (!layer.recomputed.empty()) {
    chapter.terms.push_back(sum_of("recomputation", layer.recomputed, gpu));
  }
  chapter.terms.push_back(
      {"parameters", "", "", static_cast<double>(layer.work.parameters), "", "", {}, ""});
  chapter.terms.push_back({"kept for backward without recomputation",
                           parts_of(layer.work),
                           "",
                           layer.saved.value,
                           "B",
                           "",
                           {},
                           ""});
  if (auto term = korthikanti(run, layer)) {
    chapter.terms.push_back(std::move(*term));
  }
  if (!layer.recomputed.empty()) {
    chapter.terms.push_back(
        {"kept for backward where recomputed", "", "", layer.kept.value, "B", "", {}, ""});
  }
  return chapter;
}

}  // namespace

std::vector<Chapter> explain_layers(const Run& run) {
  const StageShape shape = stage_shape(run, 0);
  std::vector<Chapter> chapters;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const auto first = std::find(shape.kind_of_layer.begin(), shape.kind_of_layer.end(), kind);
    chapters.push_back(explain_layer(run, first - shape.kind_of_layer.begin(), shape.kinds[kind]));
  }
  return chapters;
}

}  // namespace foretrain
