// SPDX-License-Identifier: Apache-2.0
// The kernels of a CudaDevice: checks nothing, starts them on the right stream.
#include <stdexcept>

#include "validation/trainer/cuda/check.hpp"
#include "validation/trainer/cuda/cuda_device.hpp"
#include "validation/trainer/cuda/kernels.hpp"

namespace foretrain::trainer::cuda {

void CudaDevice::embedding(const Tensor& out, const Tensor& tokens, const Tensor& table,
                           std::int64_t first, std::int64_t hidden) {
  cuda::embedding(compute(), out, tokens, table, first, hidden);
}

void CudaDevice::embedding_gradient(const Tensor& table_gradient, const Tensor& out_gradient,
                                    const Tensor& tokens, std::int64_t first, std::int64_t hidden) {
  cuda::embedding_gradient(compute(), table_gradient, out_gradient, tokens, first, hidden);
}

void CudaDevice::add_positions(const Tensor& out, const Tensor& positions, std::int64_t sequence,
                               std::int64_t hidden) {
  cuda::add_positions(compute(), out, positions, sequence, hidden);
}

void CudaDevice::positions_gradient(const Tensor& positions_gradient, const Tensor& out_gradient,
                                    std::int64_t sequence, std::int64_t hidden) {
  cuda::positions_gradient(compute(), positions_gradient, out_gradient, sequence, hidden);
}

void CudaDevice::layer_norm(const Tensor& out, const Tensor& statistics, const Tensor& in,
                            const Tensor& weight, const Tensor& bias, std::int64_t hidden) {
  cuda::layer_norm(compute(), out, statistics, in, weight, bias, hidden);
}

void CudaDevice::layer_norm_gradient(const Tensor& in_gradient, const Tensor& weight_gradient,
                                     const Tensor& bias_gradient, const Tensor& out_gradient,
                                     const Tensor& in, const Tensor& weight,
                                     const Tensor& statistics, std::int64_t hidden) {
  void* memory = scratch(kCompute, column_sums_bytes(in.count / hidden, hidden));
  layer_norm_weight_gradient(compute(), weight_gradient, bias_gradient, out_gradient, in,
                             statistics, hidden, memory);
  layer_norm_input_gradient(compute(), in_gradient, out_gradient, in, weight, statistics, hidden);
}

// cuBLASLt's matrices are column-major: it sees every row-major matrix transposed, and
// out^T [O, N] = weight [O, I] in^T [I, N].
void CudaDevice::linear(Stream stream, const Tensor& out, const Tensor& in, const Tensor& weight,
                        const Tensor& bias, std::int64_t outputs, std::int64_t inputs) {
  constexpr std::uintptr_t kBiasAlignment = 16;  // or else it is added by a kernel of its own
  const bool is_fused = reinterpret_cast<std::uintptr_t>(bias.data) % kBiasAlignment == 0;
  Product product;
  product.m = outputs;
  product.n = out.count / outputs;
  product.k = inputs;
  product.a = {weight, true, inputs};
  product.b = {in, false, inputs};
  product.out = out;
  if (is_fused) {
    product.bias = bias;
  }
  products_.run(cuda_stream(stream), workspace(stream), product);
  if (!is_fused) {
    cuda::add_bias(cuda_stream(stream), out, bias, outputs);
  }
}

// in_gradient^T [I, N] = weight^T [I, O] out_gradient^T [O, N].
void CudaDevice::linear_input_gradient(Stream stream, const Tensor& in_gradient,
                                       const Tensor& out_gradient, const Tensor& weight,
                                       std::int64_t outputs, std::int64_t inputs) {
  Product product;
  product.m = inputs;
  product.n = in_gradient.count / inputs;
  product.k = outputs;
  product.a = {weight, false, inputs};
  product.b = {out_gradient, false, outputs};
  product.out = in_gradient;
  products_.run(cuda_stream(stream), workspace(stream), product);
}

// weight_gradient^T [I, O] = in^T [I, N] out_gradient [N, O].
void CudaDevice::linear_weight_gradient(Stream stream, const Tensor& weight_gradient,
                                        const Tensor& out_gradient, const Tensor& in,
                                        std::int64_t outputs, std::int64_t inputs,
                                        bool accumulate) {
  Product product;
  product.m = inputs;
  product.n = outputs;
  product.k = in.count / inputs;
  product.a = {in, false, inputs};
  product.b = {out_gradient, true, outputs};
  product.out = weight_gradient;
  product.accumulates = accumulate;
  products_.run(cuda_stream(stream), workspace(stream), product);
}

void CudaDevice::bias_gradient(const Tensor& bias_gradient, const Tensor& out_gradient,
                               std::int64_t outputs) {
  void* memory = scratch(kCompute, column_sums_bytes(out_gradient.count / outputs, outputs));
  cuda::bias_gradient(compute(), bias_gradient, out_gradient, outputs, memory);
}

void CudaDevice::add_bias(const Tensor& out, const Tensor& bias, std::int64_t outputs) {
  cuda::add_bias(compute(), out, bias, outputs);
}

std::int64_t CudaDevice::attention_saved_count(const AttentionShape& shape) const {
  return shape.tokens() * shape.heads;
}

void CudaDevice::attention(const Tensor& out, const Tensor& saved, const Tensor& qkv,
                           const AttentionShape& shape) {
  cuda::attention(compute(), out, saved, qkv, shape);
}

void CudaDevice::attention_gradient(const Tensor& qkv_gradient, const Tensor& out_gradient,
                                    const Tensor& out, const Tensor& saved, const Tensor& qkv,
                                    const AttentionShape& shape) {
  void* memory = scratch(kCompute, attention_gradient_bytes(shape));
  cuda::attention_gradient(compute(), qkv_gradient, out_gradient, out, saved, qkv, shape, memory);
}

void CudaDevice::gelu(const Tensor& out, const Tensor& in) { cuda::gelu(compute(), out, in); }

void CudaDevice::gelu_gradient(const Tensor& gradient, const Tensor& in) {
  cuda::gelu_gradient(compute(), gradient, in);
}

void CudaDevice::add(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias,
                     std::int64_t outputs) {
  cuda::add(compute(), out, a, b, bias, outputs);
}

void CudaDevice::row_maximum(const Tensor& row_max, const Tensor& logits, std::int64_t columns) {
  cuda::row_maximum(compute(), row_max, logits, columns);
}

void CudaDevice::softmax_sums(const Tensor& sums, const Tensor& logits, const Tensor& row_max,
                              const Tensor& targets, std::int64_t first, std::int64_t columns) {
  cuda::softmax_sums(compute(), sums, logits, row_max, targets, first, columns);
}

void CudaDevice::cross_entropy_gradient(const Tensor& losses, const Tensor& logits,
                                        const Tensor& row_max, const Tensor& sums,
                                        const Tensor& targets, std::int64_t first,
                                        std::int64_t columns, float scale) {
  cuda::cross_entropy_gradient(compute(), losses, logits, row_max, sums, targets, first, columns,
                               scale);
}

void CudaDevice::adamw(const Tensor& parameters, const Tensor& master, const Tensor& first_moment,
                       const Tensor& second_moment, const Tensor& gradient, const AdamW& how) {
  cuda::adamw(compute(), parameters, master, first_moment, second_moment, gradient, how);
}

void CudaDevice::add_sum_of_squares(const Tensor& sum, const Tensor& in) {
  cuda::add_sum_of_squares(compute(), sum, in, scratch(kCompute, sum_of_squares_bytes()));
}

void CudaDevice::clear(Stream stream, const Tensor& out) {
  if (out.count > 0) {
    CUDA_CHECK(cudaMemsetAsync(out.data, 0, out.bytes(), cuda_stream(stream)));
  }
}

void CudaDevice::copy(Stream stream, const Tensor& out, const Tensor& in) {
  cuda::copy(cuda_stream(stream), out, in);
}

void CudaDevice::accumulate(Stream stream, const Tensor& out, const Tensor& in, float scale) {
  cuda::accumulate(cuda_stream(stream), out, in, scale);
}

void CudaDevice::quantize(Stream stream, const Tensor& codes, const Tensor& scales,
                          const Tensor& in, std::int64_t block) {
  cuda::quantize(cuda_stream(stream), codes, scales, in, block);
}

void CudaDevice::dequantize(Stream stream, const Tensor& out, const Tensor& codes,
                            const Tensor& scales, std::int64_t block, bool accumulate) {
  cuda::dequantize(cuda_stream(stream), out, codes, scales, block, accumulate);
}

void CudaDevice::take_largest(Stream stream, const Tensor& values, const Tensor& places,
                              const Tensor& in, std::int64_t k) {
  void* memory = scratch(stream, take_largest_bytes(in.count));
  cuda::take_largest(cuda_stream(stream), values, places, in, k, memory);
}

void CudaDevice::scatter_add(Stream stream, const Tensor& out, const Tensor& values,
                             const Tensor& places) {
  cuda::scatter_add(cuda_stream(stream), out, values, places);
}

void CudaDevice::orthogonalize(Stream stream, const Tensor& matrix, std::int64_t rows,
                               std::int64_t columns) {
  cuda::orthogonalize(cuda_stream(stream), matrix, rows, columns);
}

}  // namespace foretrain::trainer::cuda
