// SPDX-License-Identifier: Apache-2.0
#include "strategies/stack.hpp"

#include <array>

#include "sim/config/catalogue.hpp"

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

constexpr std::array<Choice<Accumulation>, 3> kAccumulation = {{
    {"in-gemm", Accumulation::in_gemm},
    {"separate-16-bit", Accumulation::separate_16_bit},
    {"separate-fp32", Accumulation::separate_fp32},
}};

}  // namespace

Stack read_stack(config::Reader& reader) {
  Stack stack;
  stack.name = reader.get<std::string>("name");
  stack.source = reader.get<std::string>("source");
  stack.kernels.attention = reader.choice<AttentionKernel>("attention", kAttention);
  stack.kernels.dropout = reader.get<bool>("dropout");
  stack.kernels.fused_activation = reader.get<bool>("fused_activation");
  stack.kernels.fused_dropout_add = reader.get<bool>("fused_dropout_add");
  stack.kernels.fused_rotary = reader.get<bool>("fused_rotary");
  stack.accumulation = reader.choice<Accumulation>("gradient_accumulation", kAccumulation);
  stack.overlap_gradients = reader.get<bool>("overlap_gradients");
  stack.overlap_tensor_parallel = reader.get<bool>("overlap_tensor_parallel");
  stack.scatter_gather = reader.get<bool>("scatter_gather");
  stack.blocking_sends = reader.get<bool>("blocking_sends");
  stack.bucket = reader.get<Sourced<Bytes>>("gradient_bucket");
  stack.optimizer_bytes = reader.fraction("optimizer_bytes_per_parameter", 1, 1000);
  stack.host_per_step = reader.get<Sourced<Seconds>>("host_per_step");
  stack.host_per_layer = reader.get<Sourced<Seconds>>("host_per_layer");
  stack.host_per_micro_batch = reader.get<Sourced<Seconds>>("host_per_micro_batch");
  stack.context = reader.get<Sourced<Bytes>>("context");
  reader.finish();
  return stack;
}

std::vector<Fact> facts(const Stack& stack) {
  std::vector<Fact> facts;
  if (stack.overlap_gradients) {
    facts.push_back(fact("gradient_bucket", stack.bucket));
  }
  facts.push_back(fact("optimizer_bytes_per_parameter", stack.optimizer_bytes));
  facts.push_back(fact("host_per_step", stack.host_per_step));
  facts.push_back(fact("host_per_layer", stack.host_per_layer));
  facts.push_back(fact("host_per_micro_batch", stack.host_per_micro_batch));
  facts.push_back(fact("context", stack.context));
  return facts;
}

Stack load_stack(config::Sources& sources, const std::string& name_or_path,
                 const std::string& directory) {
  return config::load_toml<Stack>(sources, config::find_file("stack", name_or_path, directory),
                                  read_stack);
}

}  // namespace foretrain
