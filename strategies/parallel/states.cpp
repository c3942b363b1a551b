// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/states.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "strategies/plan.hpp"

namespace foretrain {
namespace {

using config::Choice;

constexpr std::array<Choice<Dtype>, 3> kGradients = {
    {{"fp32", Dtype::fp32}, {"bf16", Dtype::bf16}, {"fp16", Dtype::fp16}}};
constexpr std::array<Choice<Dtype>, 1> kMainGradients = {{{"fp32", Dtype::fp32}}};
constexpr std::array<Choice<Dtype>, 4> kGathered = {
    {{"fp32", Dtype::fp32}, {"bf16", Dtype::bf16}, {"fp16", Dtype::fp16}, {"fp8", Dtype::fp8}}};
constexpr std::array<Choice<Dtype>, 4> kStates = kGathered;
constexpr std::array<Choice<double>, 4> kMasters = {
    {{"fp32", 4}, {"bf16", 2}, {"fp16", 2}, {"none", 0}}};

template <std::size_t N>
std::optional<Dtype> maybe_dtype(config::Reader& reader, std::string_view key,
                                 const std::array<Choice<Dtype>, N>& choices) {
  const bool is_given = reader.has(key);
  const Dtype dtype = reader.choice<Dtype>(key, choices, choices.front().value);
  return is_given ? std::optional(dtype) : std::nullopt;
}

bool is_wide(const Run& run) { return size_of(run.training.precision) == Bytes(4); }
bool is_sharded(const Run& run) { return run.stack.accumulation == Accumulation::sharded; }

// FSDP keeps a rank's shard in fp32 and casts before it gathers: the parameter is its own master.
// Training in fp8 keeps 16 bit.
StateSizes sizes_with(const Run& run, const StateWidths& widths) {
  StateSizes sizes;
  const double master = widths.master.value_or(Bytes(4)).value;
  const bool is_own_master = is_wide(run) || (is_sharded(run) && master > 2);
  sizes.parameter = is_own_master ? 4 : 2;
  sizes.master = is_own_master || (is_sharded(run) && master <= 2) ? 0 : master;
  sizes.gradient =
      widths.gradient ? size_of(*widths.gradient).value : run.stack.gradient_size().value;
  sizes.state = widths.state ? size_of(*widths.state).value : 4;
  return sizes;
}

// An optimizer whose state is as wide whatever it is asked for has none, or has its own width.
bool heeds_state_width(std::string_view name) {
  const ParameterTensor matrix{TensorKind::matrix, 64, 64, 1, 1};
  StateSizes narrow;
  narrow.state = 2;
  const OptimizerAlgorithm& algorithm = optimizer(name);
  return algorithm.state(matrix, narrow) != algorithm.state(matrix, StateSizes{});
}

void check_gathered(const Run& run, config::Diagnostics& diagnostics) {
  const StateWidths& widths = run.training.widths;
  if (!widths.gathered) {
    return;
  }
  if (run.parallel.zero == 0) {
    diagnostics.add(widths.gathered_position, "training.parameter_gather_dtype",
                    "parameter_gather_dtype has no effect with zero 0: no parameters are gathered");
  } else if (*widths.gathered == Dtype::fp8 && size_of(run.training.precision) > Bytes(1)) {
    diagnostics.add(widths.gathered_position, "training.parameter_gather_dtype",
                    "parameter_gather_dtype fp8 needs precision fp8 or fp4, not " +
                        std::string(name_of(run.training.precision)) +
                        ": GEMMs would read what was rounded to 8 bit");
  }
}

}  // namespace

StateWidths read_state_widths(config::Reader& training) {
  StateWidths widths;
  widths.gradient = maybe_dtype(training, "gradient_dtype", kGradients);
  widths.main_gradient = maybe_dtype(training, "main_gradient_dtype", kMainGradients);
  widths.gathered = maybe_dtype(training, "parameter_gather_dtype", kGathered);
  widths.state = maybe_dtype(training, "state_dtype", kStates);
  if (training.has("master_dtype")) {
    widths.master = Bytes(training.choice<double>("master_dtype", kMasters, 4));
  }
  widths.gradient_position = training.position_of("gradient_dtype");
  widths.main_gradient_position = training.position_of("main_gradient_dtype");
  widths.gathered_position = training.position_of("parameter_gather_dtype");
  widths.master_position = training.position_of("master_dtype");
  widths.state_position = training.position_of("state_dtype");
  return widths;
}

void check_state_widths(const Run& run, config::Diagnostics& diagnostics) {
  const StateWidths& widths = run.training.widths;
  if (widths.main_gradient && gradient_size(run) >= size_of(*widths.main_gradient)) {
    diagnostics.add(widths.main_gradient_position, "training.main_gradient_dtype",
                    "main_gradient_dtype has no effect: gradients are summed in fp32 already; "
                    "gradient_dtype narrows them");
  }
  if (widths.master && is_wide(run) && *widths.master > Bytes(0)) {
    diagnostics.add(widths.master_position, "training.master_dtype",
                    "with precision " + std::string(name_of(run.training.precision)) +
                        " the parameters are their own master copy; remove master_dtype");
  }
  if (widths.state && !heeds_state_width(run.training.optimizer)) {
    diagnostics.add(widths.state_position, "training.state_dtype",
                    "state_dtype has no effect on optimizer " + run.training.optimizer);
  }
  check_gathered(run, diagnostics);
}

StateSizes state_sizes(const Run& run) { return sizes_with(run, run.training.widths); }

StateSizes state_sizes_of_stack(const Run& run) { return sizes_with(run, {}); }

Bytes gradient_size(const Run& run) {
  const std::optional<Dtype>& asked = run.training.widths.gradient;
  return asked ? size_of(*asked) : run.stack.gradient_size();
}

Bytes main_gradient_bytes(const Run& run) {
  const std::optional<Dtype>& asked = run.training.widths.main_gradient;
  return asked ? size_of(*asked) : Bytes(0);
}

// fp8 and fp4 are the widths of GEMM inputs; unless asked otherwise parameters travel in 16 bit.
Bytes gathered_size(const Run& run) {
  const std::optional<Dtype>& asked = run.training.widths.gathered;
  return asked ? size_of(*asked) : std::max(Bytes(2), size_of(run.training.precision));
}

}  // namespace foretrain
