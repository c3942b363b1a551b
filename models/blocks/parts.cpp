// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"

#include <utility>

namespace foretrain::blocks {
namespace {

double written_bytes(Dtype dtype) { return size_of(dtype).value < 2 ? 2 : size_of(dtype).value; }

// fp8 and fp4 GEMMs read their operands once cast: read 16 bit, write low precision, and write it
// transposed as well, which the layout of the weight gradient's GEMM needs. Per tensor, not per
// GEMM.
void append_cast(std::vector<Step>& steps, const Linear& linear, std::int64_t width) {
  if (unquantized(linear.dtype) != linear.dtype) {
    const double elements = static_cast<double>(linear.batch) * static_cast<double>(linear.rows) *
                            static_cast<double>(width);
    steps.push_back(memory_step(linear.dtype == Dtype::fp8 ? "cast_to_fp8" : "cast_to_fp4",
                                MemoryOp::streaming,
                                (2.0 + 2.0 * size_of(linear.dtype).value) * elements));
  }
}

}  // namespace

Dtype unquantized(Dtype dtype) {
  return dtype == Dtype::fp8 || dtype == Dtype::fp4 ? Dtype::bf16 : dtype;
}

double activation_bytes(const Shard& shard) { return size_of(unquantized(shard.dtype)).value; }

double linear_input_bytes(const Shard& shard) { return size_of(shard.dtype).value; }

double inside(const Shard& shard, std::int64_t width) {
  return static_cast<double>(shard.tokens()) * static_cast<double>(width);
}

double outside(const Shard& shard, std::int64_t width) {
  return inside(shard, width) / static_cast<double>(shard.sequence_parallel ? shard.tensor : 1);
}

Step memory_step(std::string_view name, MemoryOp op, double bytes) {
  return {name, MemoryBound{op, Bytes(bytes)}, false};
}

Step row_step(std::string_view name, MemoryOp op, double passes, double elements, std::int64_t rows,
              const Shard& shard) {
  const double row_elements = passes / 2 * elements / static_cast<double>(rows);
  return {name,
          MemoryBound{op, Bytes(passes * activation_bytes(shard) * elements), rows, row_elements},
          false};
}

SavedTensor saved(std::string_view name, double bytes) { return {name, Bytes(bytes), false}; }

void append_forward(std::vector<Step>& steps, const Linear& linear) {
  append_cast(steps, linear, linear.inputs);
  steps.push_back({linear.names.forward,
                   Gemm{linear.batch, linear.rows, linear.outputs, linear.inputs, linear.dtype,
                        GemmPass::forward, written_bytes(linear.dtype), linear.is_grouped},
                   false});
}

void append_input_gradient(std::vector<Step>& steps, const Linear& linear) {
  append_cast(steps, linear, linear.outputs);
  steps.push_back({linear.names.input_gradient,
                   Gemm{linear.batch, linear.rows, linear.inputs, linear.outputs, linear.dtype,
                        GemmPass::input_gradient, written_bytes(linear.dtype), linear.is_grouped},
                   false});
}

// A sum over tokens: the output's gradient is read once more.
void append_bias_gradient(std::vector<Step>& steps, const Linear& linear, const Shard& shard) {
  if (linear.has_bias) {
    const double elements = static_cast<double>(linear.batch) * static_cast<double>(linear.rows) *
                            static_cast<double>(linear.outputs);
    steps.push_back(memory_step(linear.names.bias_gradient, MemoryOp::streaming,
                                activation_bytes(shard) * elements));
  }
}

void append_weight_gradient(std::vector<Step>& steps, const Linear& linear, const Shard& shard) {
  steps.push_back({linear.names.weight_gradient,
                   Gemm{linear.batch, linear.outputs, linear.inputs, linear.rows, linear.dtype,
                        GemmPass::weight_gradient, shard.kernels.weight_gradient_output_bytes,
                        linear.is_grouped},
                   false});
}

void append(std::vector<Step>& to, const std::vector<Step>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void append(std::vector<SavedTensor>& to, const std::vector<SavedTensor>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

Linear linear_layer(const LinearNames& names, const Shard& shard, std::int64_t outputs,
                    std::int64_t inputs) {
  Linear result;
  result.names = names;
  result.dtype = shard.dtype;
  result.rows = shard.tokens();
  result.outputs = outputs;
  result.inputs = inputs;
  return result;
}

void follow(Work& work, const Work& next) {
  work.parameters += next.parameters;
  work.expert_parameters += next.expert_parameters;
  append(work.forward, next.forward);
  work.backward.insert(work.backward.begin(), next.backward.begin(), next.backward.end());
  work.saved.insert(work.saved.end(), next.saved.begin(), next.saved.end());
}

}  // namespace foretrain::blocks
