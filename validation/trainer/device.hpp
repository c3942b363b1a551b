// What the trainer asks of a GPU, or of a processor that stands in for one: memory, streams, and
// the kernels of a GPT. The mathematics of every kernel is said here once; cpu/ is the reference,
// cuda/ is held against it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "validation/trainer/tensor.hpp"

namespace foretrain::trainer {

/// What memory is for; peaks are reported by class, named as the simulator names them.
enum class MemoryClass : std::uint8_t { parameters, gradients, optimizer, activations, buffers };
inline constexpr std::array<std::string_view, 5> kMemoryClassNames = {
    "parameters", "gradients", "optimizer", "activations", "buffers"};

/// A queue of work that is done in order. Stream 0 computes; others communicate beside it.
struct Stream {
  int index = 0;
  auto operator<=>(const Stream&) const = default;
};
inline constexpr Stream kCompute{0};

/// A point in a stream that other streams can wait for.
struct Event {
  std::uint64_t index = 0;
};

/// One timed span of a stream: a kernel or a collective. Times are of the device's own clock.
struct Span {
  std::string name;
  int stream = 0;
  double start_s = 0;
  double end_s = 0;
};

struct AttentionShape {
  std::int64_t batch = 1;     ///< B: sequences
  std::int64_t heads = 1;     ///< H: of this rank
  std::int64_t sequence = 1;  ///< S: tokens of a sequence
  std::int64_t head_dim = 1;  ///< D

  [[nodiscard]] std::int64_t tokens() const { return batch * sequence; }
};

struct AdamW {
  float learning_rate = 3e-4F;
  float beta1 = 0.9F;
  float beta2 = 0.95F;
  float epsilon = 1e-8F;
  float weight_decay = 0.1F;
  std::int64_t step = 1;     ///< the first is 1
  float gradient_scale = 1;  ///< gradients are multiplied by this first (clipping)
};

/// Memory that frees itself; empty when moved from.
class Memory {
 public:
  Memory() = default;
  Memory(Tensor tensor, std::shared_ptr<void> owner) : tensor_(tensor), owner_(std::move(owner)) {}
  [[nodiscard]] const Tensor& tensor() const { return tensor_; }
  operator const Tensor&() const { return tensor_; }  // NOLINT: a Memory is used as its tensor

 private:
  Tensor tensor_;
  std::shared_ptr<void> owner_;
};

/// Kernels are enqueued on a stream and may not have run when the call returns. A kernel must not
/// be given memory that is freed before it has run: synchronize() first. All floating tensors of a
/// kernel are of the device's activation type unless a comment says otherwise; statistics, losses,
/// gradients of parameters and optimizer states are fp32. Mistakes of the machine (no memory, a
/// failed launch) throw std::runtime_error.
///
/// Legend: N = tokens of a micro-batch (B S), C = hidden width, V = rows of the vocabulary on this
/// rank, I and O = inputs and outputs of a linear layer.
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// fp32 on a processor, bf16 on a GPU.
  [[nodiscard]] virtual Type activation_type() const = 0;
  /// "AMD EPYC, one core", "NVIDIA H200"; with driver and libraries, for measurement files.
  [[nodiscard]] virtual std::string description() const = 0;
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> versions() const = 0;

  // Memory. Allocation may wait for the device; the trainer allocates before its first step.
  [[nodiscard]] Memory allocate(std::int64_t count, Type type, MemoryClass what);
  [[nodiscard]] std::int64_t peak_bytes() const { return peak_bytes_; }
  [[nodiscard]] std::int64_t current_bytes(MemoryClass what) const {
    return current_bytes_[static_cast<std::size_t>(what)];
  }
  /// What the whole device holds for this process, contexts and libraries included; 0: unknown.
  [[nodiscard]] virtual std::int64_t used_bytes() const { return 0; }
  /// Host to device and back, in the order of the compute stream; return when done.
  virtual void upload(const Tensor& to, const void* from) = 0;
  virtual void download(void* to, const Tensor& from) = 0;

  // Streams.
  [[nodiscard]] virtual Stream add_stream(std::string_view name) = 0;
  [[nodiscard]] virtual Event record(Stream stream) = 0;
  /// Work enqueued on `stream` from now on starts after the event.
  virtual void wait(Stream stream, Event event) = 0;
  /// The host waits for all streams.
  virtual void synchronize() = 0;
  [[nodiscard]] const std::vector<std::string>& stream_names() const { return stream_names_; }

  // Timing. Spans are recorded only between start_spans() and take_spans().
  virtual void start_spans() = 0;
  [[nodiscard]] virtual std::vector<Span> take_spans() = 0;  ///< synchronizes
  virtual void begin_span(Stream stream, std::string_view name) = 0;
  virtual void end_span(Stream stream) = 0;

  // Embedding. tokens: int32 [N]; table: [rows, C], which holds rows first .. first + rows - 1 of
  // the vocabulary. Tokens of other ranks' rows give zeros.
  virtual void embedding(const Tensor& out, const Tensor& tokens, const Tensor& table,
                         std::int64_t first, std::int64_t hidden) = 0;
  /// table_gradient (fp32) += rows of out_gradient, by token.
  virtual void embedding_gradient(const Tensor& table_gradient, const Tensor& out_gradient,
                                  const Tensor& tokens, std::int64_t first,
                                  std::int64_t hidden) = 0;
  /// out[n, :] += positions[n mod S, :], and its gradient (fp32), a sum over sequences.
  virtual void add_positions(const Tensor& out, const Tensor& positions, std::int64_t sequence,
                             std::int64_t hidden) = 0;
  virtual void positions_gradient(const Tensor& positions_gradient, const Tensor& out_gradient,
                                  std::int64_t sequence, std::int64_t hidden) = 0;

  // y = (x - mean) / sqrt(variance + 1e-5) * weight + bias, row by row.
  // statistics: fp32 [2, N], mean then 1 / deviation.
  virtual void layer_norm(const Tensor& out, const Tensor& statistics, const Tensor& in,
                          const Tensor& weight, const Tensor& bias, std::int64_t hidden) = 0;
  /// in_gradient += ...; weight_gradient, bias_gradient (fp32) += ...
  virtual void layer_norm_gradient(const Tensor& in_gradient, const Tensor& weight_gradient,
                                   const Tensor& bias_gradient, const Tensor& out_gradient,
                                   const Tensor& in, const Tensor& weight, const Tensor& statistics,
                                   std::int64_t hidden) = 0;

  // out [N, O] = in [N, I] weight [O, I]^T (+ bias [O], unless its data are null). All of one type.
  virtual void linear(Stream stream, const Tensor& out, const Tensor& in, const Tensor& weight,
                      const Tensor& bias, std::int64_t outputs, std::int64_t inputs) = 0;
  /// in_gradient [N, I] = out_gradient [N, O] weight [O, I].
  virtual void linear_input_gradient(Stream stream, const Tensor& in_gradient,
                                     const Tensor& out_gradient, const Tensor& weight,
                                     std::int64_t outputs, std::int64_t inputs) = 0;
  /// weight_gradient (fp32) [O, I] = out_gradient [N, O]^T in [N, I], added to what is there if
  /// `accumulate`.
  virtual void linear_weight_gradient(Stream stream, const Tensor& weight_gradient,
                                      const Tensor& out_gradient, const Tensor& in,
                                      std::int64_t outputs, std::int64_t inputs,
                                      bool accumulate) = 0;
  /// bias_gradient (fp32) [O] += column sums of out_gradient [N, O].
  virtual void bias_gradient(const Tensor& bias_gradient, const Tensor& out_gradient,
                             std::int64_t outputs) = 0;
  /// out [N, O] += bias [O].
  virtual void add_bias(const Tensor& out, const Tensor& bias, std::int64_t outputs) = 0;

  // Causal softmax attention. qkv: [B, S, 3, H, D]; out: [B, S, H, D]; scores are scaled by
  // 1 / sqrt(D). `saved` is what the backward of this device needs: all probabilities [B, H, S, S],
  // or one log-sum-exp for each row.
  [[nodiscard]] virtual std::int64_t attention_saved_count(const AttentionShape& shape) const = 0;
  [[nodiscard]] virtual Type attention_saved_type() const = 0;
  virtual void attention(const Tensor& out, const Tensor& saved, const Tensor& qkv,
                         const AttentionShape& shape) = 0;
  virtual void attention_gradient(const Tensor& qkv_gradient, const Tensor& out_gradient,
                                  const Tensor& out, const Tensor& saved, const Tensor& qkv,
                                  const AttentionShape& shape) = 0;

  // GELU by tanh: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
  virtual void gelu(const Tensor& out, const Tensor& in) = 0;
  /// In place: gradient *= gelu'(in).
  virtual void gelu_gradient(const Tensor& gradient, const Tensor& in) = 0;
  /// out = a + b (+ bias [O] to every row, unless its data are null).
  virtual void add(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias,
                   std::int64_t outputs) = 0;

  // Cross-entropy in three passes, so that ranks that hold parts of the vocabulary can sum between
  // them. logits: [N, V]; row_max: fp32 [N]; sums: fp32 [2, N], the sum of exp(logit - max) and the
  // target's logit - max, zero if another rank holds the target.
  virtual void row_maximum(const Tensor& row_max, const Tensor& logits, std::int64_t columns) = 0;
  virtual void softmax_sums(const Tensor& sums, const Tensor& logits, const Tensor& row_max,
                            const Tensor& targets, std::int64_t first, std::int64_t columns) = 0;
  /// losses (fp32 [N]) = log(sum) - target; logits become scale * (softmax - one_hot(target)).
  virtual void cross_entropy_gradient(const Tensor& losses, const Tensor& logits,
                                      const Tensor& row_max, const Tensor& sums,
                                      const Tensor& targets, std::int64_t first,
                                      std::int64_t columns, float scale) = 0;

  // Optimizer. master, moments: fp32. parameters: what is trained with; the same memory as master
  // where the type is fp32.
  virtual void adamw(const Tensor& parameters, const Tensor& master, const Tensor& first_moment,
                     const Tensor& second_moment, const Tensor& gradient, const AdamW& how) = 0;
  /// sum (fp32 [1]) += the sum of squares of fp32 numbers.
  virtual void add_sum_of_squares(const Tensor& sum, const Tensor& in) = 0;

  // On any stream.
  virtual void clear(Stream stream, const Tensor& out) = 0;
  /// From one type to another, or a plain copy.
  virtual void copy(Stream stream, const Tensor& out, const Tensor& in) = 0;
  /// out (fp32) += scale * in (fp32 or fp16).
  virtual void accumulate(Stream stream, const Tensor& out, const Tensor& in, float scale) = 0;

  // Codecs of gradients (fp32 unless said otherwise).
  /// Blocks of `block` numbers share one scale, max |x| / 127; codes: int8, round to nearest;
  /// scales: fp32 [ceil(count / block)].
  virtual void quantize(Stream stream, const Tensor& codes, const Tensor& scales, const Tensor& in,
                        std::int64_t block) = 0;
  /// out = code * scale, or out += that.
  virtual void dequantize(Stream stream, const Tensor& out, const Tensor& codes,
                          const Tensor& scales, std::int64_t block, bool accumulate) = 0;
  /// The k entries of largest size: values (fp32 [k]) and places (int32 [k]) in ascending order of
  /// place; those entries of `in` become zero. Ties: the lower place.
  virtual void take_largest(Stream stream, const Tensor& values, const Tensor& places,
                            const Tensor& in, std::int64_t k) = 0;
  /// out[places[i]] += values[i]. The places of one call differ.
  virtual void scatter_add(Stream stream, const Tensor& out, const Tensor& values,
                           const Tensor& places) = 0;
  /// Columns of matrix [rows, columns] become orthonormal (modified Gram-Schmidt, in order).
  virtual void orthogonalize(Stream stream, const Tensor& matrix, std::int64_t rows,
                             std::int64_t columns) = 0;

 protected:
  Device() = default;
  /// Memory of that many bytes, zeroed, that frees itself.
  [[nodiscard]] virtual std::shared_ptr<void> allocate_bytes(std::size_t bytes) = 0;
  void name_stream(std::string_view name) { stream_names_.emplace_back(name); }

 private:
  std::array<std::int64_t, kMemoryClassNames.size()> current_bytes_{};
  std::int64_t peak_bytes_ = 0;
  std::vector<std::string> stream_names_ = {"compute"};
};

/// Times what is enqueued on a stream while it lives.
class SpanScope {
 public:
  SpanScope(Device& device, Stream stream, std::string_view name)
      : device_(device), stream_(stream) {
    device_.begin_span(stream, name);
  }
  ~SpanScope() { device_.end_span(stream_); }
  SpanScope(const SpanScope&) = delete;
  SpanScope& operator=(const SpanScope&) = delete;
  /// For one kernel: timed(device, "qkv")->linear(...).
  Device* operator->() const { return &device_; }

 private:
  Device& device_;
  Stream stream_;
};

[[nodiscard]] inline SpanScope timed(Device& device, std::string_view name,
                                     Stream stream = kCompute) {
  return {device, stream, name};
}

/// One core of this machine, in fp32.
[[nodiscard]] std::unique_ptr<Device> cpu_device();
/// GPU `index` of this machine. Throws std::runtime_error where there is none or none was built in.
[[nodiscard]] std::unique_ptr<Device> cuda_device(int index);
/// Whether this program was built with CUDA and NCCL.
[[nodiscard]] bool has_cuda();

}  // namespace foretrain::trainer
