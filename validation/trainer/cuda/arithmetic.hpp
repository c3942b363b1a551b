// The arithmetic of one number, and where numbers lie: what kernels compute, in functions that the
// host can call too.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "validation/trainer/device.hpp"

#ifdef __CUDACC__
#define FORETRAIN_BOTH __host__ __device__ inline
#else
#define FORETRAIN_BOTH inline
#endif

namespace foretrain::trainer::cuda {

/// 1 / (1 + exp(-x)).
FORETRAIN_BOTH float sigmoid(float x) {
#ifdef __CUDA_ARCH__
  return __fdividef(1.0F, 1.0F + __expf(-x));
#else
  return 1.0F / (1.0F + std::exp(-x));
#endif
}

// 0.5 (1 + tanh(u)) = sigmoid(2 u), with u = sqrt(2 / pi) (x + 0.044715 x^3).
inline constexpr float kTwiceRoot = 1.5957691216057308F;  ///< 2 sqrt(2 / pi)
inline constexpr float kCubic = 0.044715F;                ///< Hendrycks and Gimpel 2016

FORETRAIN_BOTH float gelu_of(float x) { return x * sigmoid(kTwiceRoot * (x + kCubic * x * x * x)); }

FORETRAIN_BOTH float gelu_slope(float x) {
  const float s = sigmoid(kTwiceRoot * (x + kCubic * x * x * x));
  return s + x * s * (1.0F - s) * kTwiceRoot * (1.0F + 3.0F * kCubic * x * x);
}

/// What AdamW needs of a step, the same for all numbers.
struct AdamWStep {
  float learning_rate;
  float beta1;
  float beta2;
  float epsilon;
  float weight_decay;
  float gradient_scale;
  float first_correction;   ///< 1 / (1 - beta1^step)
  float second_correction;  ///< 1 / (1 - beta2^step)
};

inline AdamWStep adamw_step(const AdamW& how) {
  const auto step = static_cast<double>(how.step);
  const auto correction = [step](float beta) {
    return static_cast<float>(1.0 / (1.0 - std::pow(static_cast<double>(beta), step)));
  };
  return {how.learning_rate,
          how.beta1,
          how.beta2,
          how.epsilon,
          how.weight_decay,
          how.gradient_scale,
          correction(how.beta1),
          correction(how.beta2)};
}

/// Updates the moments and returns the parameter after the step (Loshchilov and Hutter 2019).
FORETRAIN_BOTH float adamw_of(float parameter, float& first, float& second, float gradient,
                              const AdamWStep& step) {
  const float g = gradient * step.gradient_scale;
  first = step.beta1 * first + (1.0F - step.beta1) * g;
  second = step.beta2 * second + (1.0F - step.beta2) * g * g;
  const float deviation = sqrtf(second * step.second_correction) + step.epsilon;
  const float change = first * step.first_correction / deviation + step.weight_decay * parameter;
  return parameter - step.learning_rate * change;
}

inline constexpr float kLargestCode = 127;  ///< of int8; -128 is not used

/// The scale of a block whose largest number is `largest` in size: 0, and with it all codes, where
/// it would be so small that it has no exact inverse.
FORETRAIN_BOTH float scale_of(float largest) {
  constexpr float kLeast = 1.17549435e-38F;  // the smallest normal number
  const float scale = largest / kLargestCode;
  return scale < kLeast ? 0.0F : scale;
}

/// To the nearest, ties to even.
FORETRAIN_BOTH std::int8_t code_of(float x, float inverse_scale) {
  return static_cast<std::int8_t>(static_cast<std::int32_t>(rintf(x * inverse_scale)));
}

/// Where things lie in qkv [B, S, 3, H, D]; in out [B, S, H, D]; in a row's statistics [B, H, S].
struct AttentionLayout {
  std::int64_t heads;
  std::int64_t sequence;
  std::int64_t head_dim;

  /// Of token s of sequence b; which: 0 query, 1 key, 2 value.
  FORETRAIN_BOTH std::int64_t qkv(std::int64_t b, std::int64_t s, int which, std::int64_t h) const {
    return (((b * sequence + s) * 3 + which) * heads + h) * head_dim;
  }
  FORETRAIN_BOTH std::int64_t qkv_stride() const { return 3 * heads * head_dim; }  ///< s to s + 1
  FORETRAIN_BOTH std::int64_t out(std::int64_t b, std::int64_t s, std::int64_t h) const {
    return ((b * sequence + s) * heads + h) * head_dim;
  }
  FORETRAIN_BOTH std::int64_t out_stride() const { return heads * head_dim; }
  FORETRAIN_BOTH std::int64_t statistic(std::int64_t b, std::int64_t s, std::int64_t h) const {
    return (b * heads + h) * sequence + s;
  }
};

}  // namespace foretrain::trainer::cuda
