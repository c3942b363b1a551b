// GELU and sums, number by number.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/arithmetic.hpp"
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 8;  // bf16 numbers in 16 bytes
constexpr std::size_t kWideBytes = 16;

struct Gelu {
  Bf16* out;
  const Bf16* in;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    auto x = load<kWidth>(in + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      x.at[j] = from_float<Bf16>(gelu_of(to_float(x.at[j])));
    }
    store<kWidth>(out + i, x);
  }
};

struct GeluGradient {
  Bf16* gradient;
  const Bf16* in;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    const auto x = load<kWidth>(in + i);
    auto g = load<kWidth>(gradient + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      g.at[j] = from_float<Bf16>(to_float(g.at[j]) * gelu_slope(to_float(x.at[j])));
    }
    store<kWidth>(gradient + i, g);
  }
};

// bias: null, or as long as a row.
struct Add {
  Bf16* out;
  const Bf16* a;
  const Bf16* b;
  const Bf16* bias;
  std::int64_t outputs;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    auto x = load<kWidth>(a + i);
    const auto y = load<kWidth>(b + i);
    Pack<Bf16, kWidth> z{};
    if (bias != nullptr) {
      z = load<kWidth>(bias + i % outputs);
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float shift = bias != nullptr ? to_float(z.at[j]) : 0.0F;
      x.at[j] = from_float<Bf16>(to_float(x.at[j]) + to_float(y.at[j]) + shift);
    }
    store<kWidth>(out + i, x);
  }
};

template <class Number>
struct AddBias {
  Number* out;
  const Number* bias;
  std::int64_t outputs;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    auto x = load<kWidth>(out + i);
    const auto y = load<kWidth>(bias + i % outputs);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      x.at[j] = from_float<Number>(to_float(x.at[j]) + to_float(y.at[j]));
    }
    store<kWidth>(out + i, x);
  }
};

}  // namespace

void gelu(cudaStream_t stream, const Tensor& out, const Tensor& in) {
  require("gelu", out, Type::bf16);
  require("gelu", in, Type::bf16);
  const bool is_wide = is_aligned(out.data, kWideBytes) && is_aligned(in.data, kWideBytes);
  for_each<kWide>("gelu", stream, in.count, is_wide, Gelu{out.as<Bf16>(), in.as<Bf16>()});
}

void gelu_gradient(cudaStream_t stream, const Tensor& gradient, const Tensor& in) {
  require("gelu_gradient", gradient, Type::bf16);
  require("gelu_gradient", in, Type::bf16);
  const bool is_wide = is_aligned(gradient.data, kWideBytes) && is_aligned(in.data, kWideBytes);
  for_each<kWide>("gelu_gradient", stream, in.count, is_wide,
                  GeluGradient{gradient.as<Bf16>(), in.as<Bf16>()});
}

void add(cudaStream_t stream, const Tensor& out, const Tensor& a, const Tensor& b,
         const Tensor& bias, std::int64_t outputs) {
  require("add", out, Type::bf16);
  require("add", a, Type::bf16);
  require("add", b, Type::bf16);
  bool is_wide = is_aligned(out.data, kWideBytes) && is_aligned(a.data, kWideBytes) &&
                 is_aligned(b.data, kWideBytes);
  if (bias.data != nullptr) {
    require("add", bias, Type::bf16);
    is_wide = is_wide && is_aligned(bias.data, kWideBytes) && outputs % kWide == 0;
  }
  for_each<kWide>("add", stream, out.count, is_wide,
                  Add{out.as<Bf16>(), a.as<Bf16>(), b.as<Bf16>(), bias.as<Bf16>(), outputs});
}

void add_bias(cudaStream_t stream, const Tensor& out, const Tensor& bias, std::int64_t outputs) {
  require("add_bias", bias, out.type);
  const bool is_aligned_wide =
      is_aligned(out.data, kWideBytes) && is_aligned(bias.data, kWideBytes);
  if (out.type == Type::fp32) {
    for_each<kWide / 2>("add_bias", stream, out.count,
                        is_aligned_wide && outputs % (kWide / 2) == 0,
                        AddBias<float>{out.as<float>(), bias.as<float>(), outputs});
    return;
  }
  require("add_bias", out, Type::bf16);
  for_each<kWide>("add_bias", stream, out.count, is_aligned_wide && outputs % kWide == 0,
                  AddBias<Bf16>{out.as<Bf16>(), bias.as<Bf16>(), outputs});
}

}  // namespace foretrain::trainer::cuda
