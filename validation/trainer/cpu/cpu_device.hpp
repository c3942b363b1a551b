// One core of this machine, in fp32: the reference of every kernel, and fast enough to be timed.
// The kernels are in kernels_*.cpp by topic; device.hpp says what they compute.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "validation/trainer/cpu/streams.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer {

class CpuDevice final : public Device {
 public:
  [[nodiscard]] Streams& streams() { return streams_; }

  [[nodiscard]] Type activation_type() const override { return Type::fp32; }
  [[nodiscard]] std::string description() const override;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> versions() const override;

  [[nodiscard]] std::int64_t used_bytes() const override;
  void upload(const Tensor& to, const void* from) override;
  void download(void* to, const Tensor& from) override;

  [[nodiscard]] Stream add_stream(std::string_view name) override;
  [[nodiscard]] Event record(Stream stream) override { return streams_.record(stream); }
  void wait(Stream stream, Event event) override { streams_.wait(stream, event); }
  void synchronize() override { streams_.synchronize(); }

  void start_spans() override { streams_.start_spans(); }
  [[nodiscard]] std::vector<Span> take_spans() override { return streams_.take_spans(); }
  void begin_span(Stream stream, std::string_view name) override {
    streams_.begin_span(stream, name);
  }
  void end_span(Stream stream) override { streams_.end_span(stream); }

  // kernels_rows.cpp
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

  // kernels_linear.cpp
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

  // kernels_attention.cpp
  [[nodiscard]] std::int64_t attention_saved_count(const AttentionShape& shape) const override;
  [[nodiscard]] Type attention_saved_type() const override { return Type::fp32; }
  void attention(const Tensor& out, const Tensor& saved, const Tensor& qkv,
                 const AttentionShape& shape) override;
  void attention_gradient(const Tensor& qkv_gradient, const Tensor& out_gradient, const Tensor& out,
                          const Tensor& saved, const Tensor& qkv,
                          const AttentionShape& shape) override;

  // kernels_pointwise.cpp
  void gelu(const Tensor& out, const Tensor& in) override;
  void gelu_gradient(const Tensor& gradient, const Tensor& in) override;
  void add(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias,
           std::int64_t outputs) override;
  void adamw(const Tensor& parameters, const Tensor& master, const Tensor& first_moment,
             const Tensor& second_moment, const Tensor& gradient, const AdamW& how) override;
  void add_sum_of_squares(const Tensor& sum, const Tensor& in) override;
  void clear(Stream stream, const Tensor& out) override;
  void copy(Stream stream, const Tensor& out, const Tensor& in) override;
  void accumulate(Stream stream, const Tensor& out, const Tensor& in, float scale) override;

  // kernels_loss.cpp
  void row_maximum(const Tensor& row_max, const Tensor& logits, std::int64_t columns) override;
  void softmax_sums(const Tensor& sums, const Tensor& logits, const Tensor& row_max,
                    const Tensor& targets, std::int64_t first, std::int64_t columns) override;
  void cross_entropy_gradient(const Tensor& losses, const Tensor& logits, const Tensor& row_max,
                              const Tensor& sums, const Tensor& targets, std::int64_t first,
                              std::int64_t columns, float scale) override;

  // kernels_codec.cpp
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
  Streams streams_;
};

}  // namespace foretrain::trainer
