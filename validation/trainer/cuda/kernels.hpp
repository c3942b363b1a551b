// Starts the kernels. One function for each entry of Device that is no matrix product; the
// mathematics is said there. `scratch` is memory that a stream's kernels use one after another.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda_runtime_api.h>

#include "validation/trainer/device.hpp"
#include "validation/trainer/tensor.hpp"

namespace foretrain::trainer::cuda {

// elementwise.cu
void gelu(cudaStream_t stream, const Tensor& out, const Tensor& in);
void gelu_gradient(cudaStream_t stream, const Tensor& gradient, const Tensor& in);
void add(cudaStream_t stream, const Tensor& out, const Tensor& a, const Tensor& b,
         const Tensor& bias, std::int64_t outputs);
void add_bias(cudaStream_t stream, const Tensor& out, const Tensor& bias, std::int64_t outputs);

// conversion.cu
void copy(cudaStream_t stream, const Tensor& out, const Tensor& in);
void accumulate(cudaStream_t stream, const Tensor& out, const Tensor& in, float scale);

// embedding.cu
void embedding(cudaStream_t stream, const Tensor& out, const Tensor& tokens, const Tensor& table,
               std::int64_t first, std::int64_t hidden);
void embedding_gradient(cudaStream_t stream, const Tensor& table_gradient,
                        const Tensor& out_gradient, const Tensor& tokens, std::int64_t first,
                        std::int64_t hidden);
void add_positions(cudaStream_t stream, const Tensor& out, const Tensor& positions,
                   std::int64_t sequence, std::int64_t hidden);
void positions_gradient(cudaStream_t stream, const Tensor& positions_gradient,
                        const Tensor& out_gradient, std::int64_t sequence, std::int64_t hidden);

// layer_norm.cu, column_sums.cu
void layer_norm(cudaStream_t stream, const Tensor& out, const Tensor& statistics, const Tensor& in,
                const Tensor& weight, const Tensor& bias, std::int64_t hidden);
void layer_norm_input_gradient(cudaStream_t stream, const Tensor& in_gradient,
                               const Tensor& out_gradient, const Tensor& in, const Tensor& weight,
                               const Tensor& statistics, std::int64_t hidden);
/// Bytes of scratch that sums over the columns of [rows, columns] need.
[[nodiscard]] std::size_t column_sums_bytes(std::int64_t rows, std::int64_t columns);
void layer_norm_weight_gradient(cudaStream_t stream, const Tensor& weight_gradient,
                                const Tensor& bias_gradient, const Tensor& out_gradient,
                                const Tensor& in, const Tensor& statistics, std::int64_t hidden,
                                void* scratch);
void bias_gradient(cudaStream_t stream, const Tensor& bias_gradient, const Tensor& out_gradient,
                   std::int64_t outputs, void* scratch);

// attention.cu, attention_gradient.cu. Throw std::runtime_error for head_dims other than 64 and
// 128, and for memory that is not aligned to 16 bytes.
void attention(cudaStream_t stream, const Tensor& out, const Tensor& saved, const Tensor& qkv,
               const AttentionShape& shape);
[[nodiscard]] std::size_t attention_gradient_bytes(const AttentionShape& shape);  ///< scratch
void attention_gradient(cudaStream_t stream, const Tensor& qkv_gradient, const Tensor& out_gradient,
                        const Tensor& out, const Tensor& saved, const Tensor& qkv,
                        const AttentionShape& shape, void* scratch);

// cross_entropy.cu
void row_maximum(cudaStream_t stream, const Tensor& row_max, const Tensor& logits,
                 std::int64_t columns);
void softmax_sums(cudaStream_t stream, const Tensor& sums, const Tensor& logits,
                  const Tensor& row_max, const Tensor& targets, std::int64_t first,
                  std::int64_t columns);
void cross_entropy_gradient(cudaStream_t stream, const Tensor& losses, const Tensor& logits,
                            const Tensor& row_max, const Tensor& sums, const Tensor& targets,
                            std::int64_t first, std::int64_t columns, float scale);

// optimizer.cu
void adamw(cudaStream_t stream, const Tensor& parameters, const Tensor& master,
           const Tensor& first_moment, const Tensor& second_moment, const Tensor& gradient,
           const AdamW& how);
[[nodiscard]] std::size_t sum_of_squares_bytes();  ///< scratch
void add_sum_of_squares(cudaStream_t stream, const Tensor& sum, const Tensor& in, void* scratch);

// quantize.cu, take_largest.cu, orthogonalize.cu
void quantize(cudaStream_t stream, const Tensor& codes, const Tensor& scales, const Tensor& in,
              std::int64_t block);
void dequantize(cudaStream_t stream, const Tensor& out, const Tensor& codes, const Tensor& scales,
                std::int64_t block, bool accumulate);
[[nodiscard]] std::size_t take_largest_bytes(std::int64_t count);  ///< scratch
void take_largest(cudaStream_t stream, const Tensor& values, const Tensor& places, const Tensor& in,
                  std::int64_t k, void* scratch);
void scatter_add(cudaStream_t stream, const Tensor& out, const Tensor& values,
                 const Tensor& places);
void orthogonalize(cudaStream_t stream, const Tensor& matrix, std::int64_t rows,
                   std::int64_t columns);

}  // namespace foretrain::trainer::cuda
