// SPDX-License-Identifier: Apache-2.0
#include "strategies/stack.hpp"

#include <array>

#include "sim/config/catalogue.hpp"
#include "strategies/parallel/experts/dispatch.hpp"

namespace foretrain {
namespace {

using config::Choice;
using config::Sourced;

constexpr std::array<Choice<AttentionKernel>, 6> kAttention = {{
    {"unfused", AttentionKernel::unfused},
    {"flash-1", AttentionKernel::flash1},
    {"flash-2", AttentionKernel::flash2},
    {"flash-3", AttentionKernel::flash3},
    {"flash-triton", AttentionKernel::flash_triton},
    {"flash-cudnn", AttentionKernel::flash_cudnn},
}};

struct EagerKey {
  std::string_view name;
  double KernelChoices::*field;
};
constexpr std::array<EagerKey, 5> kEagerKeys = {{
    {"eager_norm_forward_bytes", &KernelChoices::eager_norm_forward_bytes},
    {"eager_norm_backward_bytes", &KernelChoices::eager_norm_backward_bytes},
    {"eager_softmax_bytes", &KernelChoices::eager_softmax_bytes},
    {"extra_layer_bytes", &KernelChoices::extra_layer_bytes},
    {"extra_layer_gradient_bytes", &KernelChoices::extra_layer_gradient_bytes},
}};

constexpr std::array<Choice<Accumulation>, 4> kAccumulation = {{
    {"in-gemm", Accumulation::in_gemm},
    {"separate-16-bit", Accumulation::separate_16_bit},
    {"separate-fp32", Accumulation::separate_fp32},
    {"sharded", Accumulation::sharded},
}};

constexpr double kMostBytes = 1000;  // per element; more is a mistake of units

// Numbers that a stack file may leave out, with what is then meant.
template <class T>
Sourced<T> optional(config::Reader& reader, std::string_view key, T fallback) {
  auto value = reader.maybe<Sourced<T>>(key);
  return value ? *value : Sourced<T>{fallback, "not given", config::Basis::assumed};
}
Sourced<double> optional_number(config::Reader& reader, std::string_view key, double most) {
  return reader.has(key) ? reader.fraction(key, 0, most)
                         : Sourced<double>{0, "not given", config::Basis::assumed};
}

void read_kernels(config::Reader& reader, Stack& stack) {
  KernelChoices& kernels = stack.kernels;
  kernels.attention = reader.choice<AttentionKernel>("attention", kAttention);
  kernels.dropout = reader.get<bool>("dropout");
  kernels.fused_activation = reader.get<bool>("fused_activation");
  kernels.fused_dropout_add = reader.get<bool>("fused_dropout_add");
  kernels.fused_rotary = reader.get<bool>("fused_rotary");
  kernels.gathered_logits = reader.get<bool>("gathered_logits", false);
  kernels.fp32_router = reader.get<bool>("fp32_router", false);
  for (const EagerKey& key : kEagerKeys) {
    Sourced<double> number = optional_number(reader, key.name, kMostBytes);
    kernels.*key.field = number.value;
    if (number.value > 0) {
      stack.eager.emplace_back(key.name, std::move(number));
    }
  }
}

void read_overlap(config::Reader& reader, Stack& stack) {
  stack.overlap_gradients = reader.get<bool>("overlap_gradients");
  stack.overlap_parameters = reader.get<bool>("overlap_parameters", false);
  stack.overlap_tensor_parallel = reader.get<bool>("overlap_tensor_parallel");
  stack.overlap_context = reader.get<bool>("overlap_context", false);
  stack.expert_dispatch = read_expert_dispatch(reader);
  stack.overlap_shared_experts = reader.get<bool>("overlap_shared_experts", false);
  stack.hidden_experts = optional_number(reader, "hidden_experts", 1);
  stack.hidden_tensor_parallel = optional_number(reader, "hidden_tensor_parallel", 1);
  stack.exposed_gradients = optional_number(reader, "exposed_gradients", 1);
  stack.exposed_gathers = optional_number(reader, "exposed_gathers", 1);
  stack.gathers_by_broadcasts = reader.get<bool>("gathers_by_broadcasts", false);
  stack.gather_by_tensor = reader.get<bool>("gather_by_tensor", false);
  stack.gathers_after_recompute = reader.get<bool>("gathers_after_recompute", false);
  stack.host_per_piece = optional(reader, "host_per_piece", Seconds(0));
  stack.scatter_gather = reader.get<bool>("scatter_gather");
  stack.blocking_sends = reader.get<bool>("blocking_sends");
  if (stack.overlap_parameters && stack.gathers_by_broadcasts) {
    reader.fail(
        "gathers_by_broadcasts",
        "overlap_parameters gathers beside the next forward, layer by layer; give one of them");
  }
  if (stack.overlap_shared_experts && stack.hidden_experts.value > 0) {
    reader.fail(
        "hidden_experts",
        "overlap_shared_experts hides what travels behind shared experts; give one of them");
  }
  if (stack.overlap_tensor_parallel && stack.hidden_tensor_parallel.value > 0) {
    reader.fail("hidden_tensor_parallel",
                "overlap_tensor_parallel hides whole collectives already; give one of them");
  }
}

}  // namespace

Stack read_stack(config::Reader& reader) {
  Stack stack;
  stack.name = reader.get<std::string>("name");
  stack.source = reader.get<std::string>("source");
  read_kernels(reader, stack);
  stack.accumulation = reader.choice<Accumulation>("gradient_accumulation", kAccumulation);
  read_overlap(reader, stack);
  stack.bucket = reader.get<Sourced<Bytes>>("gradient_bucket");
  stack.optimizer_bytes = reader.fraction("optimizer_bytes_per_parameter", 1, 1000);
  stack.host_per_step = reader.get<Sourced<Seconds>>("host_per_step");
  stack.host_per_layer = reader.get<Sourced<Seconds>>("host_per_layer");
  stack.host_per_micro_batch = reader.get<Sourced<Seconds>>("host_per_micro_batch");
  stack.host_per_kernel = optional(reader, "host_per_kernel", Seconds(0));
  stack.optimizer_state_bytes =
      optional_number(reader, "optimizer_state_bytes_per_parameter", kMostBytes);
  stack.context = reader.get<Sourced<Bytes>>("context");
  stack.communicators = optional(reader, "communicators", Bytes(0));
  stack.allocator_slack = optional_number(reader, "allocator_slack", 10);
  reader.finish();
  return stack;
}

std::vector<Fact> facts(const Stack& stack) {
  std::vector<Fact> facts;
  for (const auto& [name, number] : stack.eager) {
    facts.push_back(fact(name, number));
  }
  const auto add_if_given = [&facts](const char* name, const auto& number) {
    if (number.value > decltype(number.value)(0)) {
      facts.push_back(fact(name, number));
    }
  };
  if (stack.overlap_gradients) {
    facts.push_back(fact("gradient_bucket", stack.bucket));
  }
  add_if_given("hidden_tensor_parallel", stack.hidden_tensor_parallel);
  add_if_given("hidden_experts", stack.hidden_experts);
  add_if_given("exposed_gradients", stack.exposed_gradients);
  add_if_given("exposed_gathers", stack.exposed_gathers);
  add_if_given("host_per_piece", stack.host_per_piece);
  facts.push_back(fact("optimizer_bytes_per_parameter", stack.optimizer_bytes));
  facts.push_back(fact("host_per_step", stack.host_per_step));
  facts.push_back(fact("host_per_layer", stack.host_per_layer));
  facts.push_back(fact("host_per_micro_batch", stack.host_per_micro_batch));
  add_if_given("host_per_kernel", stack.host_per_kernel);
  add_if_given("optimizer_state_bytes_per_parameter", stack.optimizer_state_bytes);
  facts.push_back(fact("context", stack.context));
  add_if_given("communicators", stack.communicators);
  add_if_given("allocator_slack", stack.allocator_slack);
  return facts;
}

Stack load_stack(config::Sources& sources, const std::string& name_or_path,
                 const std::string& directory, const config::Value* overrides) {
  return config::load_toml<Stack>(sources, config::find_file("stack", name_or_path, directory),
                                  read_stack, overrides);
}

}  // namespace foretrain
