// Kernels that treat each number by itself: GELU, sums, AdamW, copies. Eigen's arrays where an
// output may be an input, which a compiler's own vectors would have to be told.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include <Eigen/Core>

#include "validation/trainer/cpu/cpu_device.hpp"
#include "validation/trainer/cpu/half.hpp"

namespace foretrain::trainer {
namespace {

using Numbers = Eigen::Map<Eigen::ArrayXf>;
using Halves = Eigen::Map<Eigen::Array<Eigen::half, Eigen::Dynamic, 1>>;

constexpr std::int64_t kChunk = 1024;      // numbers, which stay in the first cache
constexpr float kSlope = 0.79788456F;      // sqrt(2 / pi)
constexpr float kCubic = 0.044715F;        // of device.hpp
constexpr std::int64_t kSumChunk = 16384;  // numbers summed in fp32 before double takes over

Numbers numbers(const Tensor& tensor) { return {tensor.as<float>(), tensor.count}; }
Halves halves(const Tensor& tensor) { return {tensor.as<Eigen::half>(), tensor.count}; }

// gelu'(x) = (1 + t) / 2 + x (1 - t^2) u' / 2, where t = tanh(u), u = kSlope (x + kCubic x^3).
void gelu_gradient_of(float* __restrict gradient, const float* __restrict x,
                      const float* __restrict tanh_of, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float t = tanh_of[i];
    const float slope = kSlope * (1 + 3 * kCubic * x[i] * x[i]);
    gradient[i] *= 0.5F * (1 + t + x[i] * (1 - t * t) * slope);
  }
}

void step(float* __restrict p, float* __restrict m, float* __restrict v,
          const float* __restrict gradient, std::int64_t count, const AdamW& how) {
  const auto steps = static_cast<double>(how.step);
  const auto first = static_cast<float>(1 / (1 - std::pow(double{how.beta1}, steps)));
  const auto second = static_cast<float>(1 / (1 - std::pow(double{how.beta2}, steps)));
  const float keep = 1 - how.learning_rate * how.weight_decay;
  const AdamW w = how;  // a copy that the pointers cannot alias
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * w.gradient_scale;
    m[i] = w.beta1 * m[i] + (1 - w.beta1) * g;
    v[i] = w.beta2 * v[i] + (1 - w.beta2) * g * g;
    p[i] = p[i] * keep - w.learning_rate * (m[i] * first) / (std::sqrt(v[i] * second) + w.epsilon);
  }
}

void convert(const Tensor& out, const Tensor& in) {
  if (out.type == in.type) {
    std::memmove(out.data, in.data, in.bytes());
  } else if (out.type == Type::fp16 && in.type == Type::fp32) {
    halves_of(out.as<std::uint16_t>(), in.as<float>(), in.count);
  } else if (out.type == Type::fp32 && in.type == Type::fp16) {
    numbers(out) = halves(in).cast<float>();
  } else {
    throw std::runtime_error("the processor copies between fp32 and fp16 only");
  }
}

}  // namespace

void CpuDevice::gelu(const Tensor& out, const Tensor& in) {
  for (std::int64_t first = 0; first < in.count; first += kChunk) {
    const std::int64_t count = std::min(kChunk, in.count - first);
    const Numbers x(in.as<float>() + first, count);
    Numbers(out.as<float>() + first, count) =
        0.5F * x * (1 + (x * (kSlope + kSlope * kCubic * x.square())).tanh());
  }
}

void CpuDevice::gelu_gradient(const Tensor& gradient, const Tensor& in) {
  std::array<float, kChunk> tanh_of;
  for (std::int64_t first = 0; first < in.count; first += kChunk) {
    const std::int64_t count = std::min(kChunk, in.count - first);
    const Numbers x(in.as<float>() + first, count);
    Numbers(tanh_of.data(), count) = (x * (kSlope + kSlope * kCubic * x.square())).tanh();
    gelu_gradient_of(gradient.as<float>() + first, x.data(), tanh_of.data(), count);
  }
}

void CpuDevice::add(const Tensor& out, const Tensor& a, const Tensor& b, const Tensor& bias,
                    std::int64_t outputs) {
  if (bias.data == nullptr) {
    numbers(out) = numbers(a) + numbers(b);
    return;
  }
  for (std::int64_t first = 0; first < out.count; first += outputs) {
    numbers(out.part(first, outputs)) =
        numbers(a.part(first, outputs)) + numbers(b.part(first, outputs)) + numbers(bias);
  }
}

void CpuDevice::adamw(const Tensor& parameters, const Tensor& master, const Tensor& first_moment,
                      const Tensor& second_moment, const Tensor& gradient, const AdamW& how) {
  step(master.as<float>(), first_moment.as<float>(), second_moment.as<float>(),
       gradient.as<float>(), master.count, how);
  if (parameters.data != master.data) {
    convert(parameters, master);
  }
}

void CpuDevice::add_sum_of_squares(const Tensor& sum, const Tensor& in) {
  double total = 0;
  for (std::int64_t first = 0; first < in.count; first += kSumChunk) {
    total += double{numbers(in.part(first, std::min(kSumChunk, in.count - first))).square().sum()};
  }
  *sum.as<float>() += static_cast<float>(total);
}

void CpuDevice::clear(Stream stream, const Tensor& out) {
  streams_.enqueue(stream, [out] { std::memset(out.data, 0, out.bytes()); });
}

void CpuDevice::copy(Stream stream, const Tensor& out, const Tensor& in) {
  streams_.enqueue(stream, [out, in] { convert(out, in); });
}

void CpuDevice::accumulate(Stream stream, const Tensor& out, const Tensor& in, float scale) {
  streams_.enqueue(stream, [out, in, scale] {
    if (in.type == Type::fp16) {
      numbers(out) += scale * halves(in).cast<float>();
    } else {
      numbers(out) += scale * numbers(in);
    }
  });
}

}  // namespace foretrain::trainer
