// A GPU: CUDA streams and events, cuBLASLt for products, kernels of our own for the rest.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cuda_runtime_api.h>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "validation/trainer/cuda/matrix_product.hpp"
#include "validation/trainer/cuda/spans.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer::cuda {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index);
  ~CudaDevice() override;

  /// For NCCL, which has its kernels on our streams.
  [[nodiscard]] cudaStream_t cuda_stream(Stream stream) const {
    return streams_.at(static_cast<std::size_t>(stream.index));
  }
  [[nodiscard]] std::string bus_id() const;

  [[nodiscard]] Type activation_type() const override { return Type::bf16; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> versions() const override;
  [[nodiscard]] std::int64_t used_bytes() const override;
  void upload(const Tensor& to, const void* from) override;
  void download(void* to, const Tensor& from) override;

  [[nodiscard]] Stream add_stream(std::string_view name) override;
  [[nodiscard]] Event record(Stream stream) override;
  void wait(Stream stream, Event event) override;
  void synchronize() override;

  void start_spans() override;
  [[nodiscard]] std::vector<Span> take_spans() override;
  void begin_span(Stream stream, std::string_view name) override;
  void end_span(Stream stream) override;

  void embedding(const Tensor& out, const Tensor& tokens, const Tensor& table, std::int64_t first,
                 std::int64_t hidden) override;
  void embedding_gradient(const Tensor& table_gradient, const Tensor& out_gradient,
                          const Tensor& tokens, std::int64_t first, std::int64_t hidden) override;
  void add_positions(const Tensor& out, const Tensor& positions, std::int64_t sequence,
                     std::int64_t hidden) override;
  void positions_gradient(const Tensor& positions_gradient, const Tensor& out_gradient,
                          std::int64_t sequence, std::int64_t hidden) override;
  void layer_norm(const Tensor& out, const Tensor& statistics, const Tensor& in,
                  const Tensor& weight, const Tensor& bias, std::int64_t hidden) override;
  void layer_norm_gradient(const Tensor& in_gradient, const Tensor& weight_gradient,
                           const Tensor& bias_gradient, const Tensor& out_gradient,
                           const Tensor& in, const Tensor& weight, const Tensor& statistics,
                           std::int64_t hidden) override;
  void linear(Stream stream, const Tensor& out, const Tensor& in, const Tensor& weight,
              const Tensor& bias, std::int64_t outputs, std::int64_t inputs) override;
  void linear_input_gradient(Stream stream, const Tensor& in_gradient, const Tensor& out_gradient,
                             const Tensor& weight, std::int64_t outputs,
                             std::int64_t inputs) override;
  void linear_weight_gradient(Stream stream, const Tensor& weight_gradient,
                              const Tensor& out_gradient, const Tensor& in, std::int64_t outputs,
                              std::int64_t inputs, bool accumulate) override;
  void bias_gradient(const Tensor& bias_gradient, const Tensor& out_gradient,
                     std::int64_t outputs) override;
  void add_bias(const Tensor& out, const Tensor& bias, std::int64_t outputs) override;
  [[nodiscard]] std::int64_t attention_saved_count(const AttentionShape& shape) const override;
  [[nodiscard]] Type attention_saved_type() const override { return Type::fp32; }
  void attention(const Tensor& out, const Tensor& saved, const Tensor& qkv,
                 const AttentionShape& shape) override;
  void attention_gradient(const Tensor& qkv_gradient, const Tensor& out_gradient, const Tensor& out,
                          const Tensor& saved, const Tensor& qkv,
                          const AttentionShape& shape) override;
  void gelu(const Tensor& out, const Tensor& in) override;
  void gelu_gradient(const Tensor& gradient, const Tensor& in) override;
  void add(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias,
           std::int64_t outputs) override;
  void row_maximum(const Tensor& row_max, const Tensor& logits, std::int64_t columns) override;
  void softmax_sums(const Tensor& sums, const Tensor& logits, const Tensor& row_max,
                    const Tensor& targets, std::int64_t first, std::int64_t columns) override;
  void cross_entropy_gradient(const Tensor& losses, const Tensor& logits, const Tensor& row_max,
                              const Tensor& sums, const Tensor& targets, std::int64_t first,
                              std::int64_t columns, float scale) override;
  void adamw(const Tensor& parameters, const Tensor& master, const Tensor& first_moment,
             const Tensor& second_moment, const Tensor& gradient, const AdamW& how) override;
  void add_sum_of_squares(const Tensor& sum, const Tensor& in) override;

  void clear(Stream stream, const Tensor& out) override;
  void copy(Stream stream, const Tensor& out, const Tensor& in) override;
  void accumulate(Stream stream, const Tensor& out, const Tensor& in, float scale) override;
  void quantize(Stream stream, const Tensor& codes, const Tensor& scales, const Tensor& in,
                std::int64_t block) override;
  void dequantize(Stream stream, const Tensor& out, const Tensor& codes, const Tensor& scales,
                  std::int64_t block, bool accumulate) override;
  void take_largest(Stream stream, const Tensor& values, const Tensor& places, const Tensor& in,
                    std::int64_t k) override;
  void scatter_add(Stream stream, const Tensor& out, const Tensor& values,
                   const Tensor& places) override;
  void orthogonalize(Stream stream, const Tensor& matrix, std::int64_t rows,
                     std::int64_t columns) override;

 protected:
  [[nodiscard]] std::shared_ptr<void> allocate_bytes(std::size_t bytes) override;

 private:
  [[nodiscard]] cudaStream_t compute() const { return streams_.front(); }
  /// Memory for the kernels of a stream, which use it one after another; it grows when asked to.
  void* scratch(Stream stream, std::size_t bytes);
  void* workspace(Stream stream);  ///< of matrix products
  void add_cuda_stream();

  int index_;
  std::vector<cudaStream_t> streams_;
  std::vector<Memory> scratch_;      // by stream
  std::vector<Memory> workspaces_;   // by stream
  std::vector<cudaEvent_t> events_;  // a ring: event i is events_[i % kEvents]
  std::uint64_t next_event_ = 0;
  MatrixProducts products_;
  SpanRecorder spans_;
};

}  // namespace foretrain::trainer::cuda
