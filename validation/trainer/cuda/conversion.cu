// Copies from one type to another, and weighted sums into fp32.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 4;

template <class Out, class In>
struct Convert {
  Out* out;
  const In* in;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    const auto x = load<kWidth>(in + i);
    Pack<Out, kWidth> y;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      y.at[j] = from_float<Out>(to_float(x.at[j]));
    }
    store<kWidth>(out + i, y);
  }
};

template <class In>
struct Accumulate {
  float* out;
  const In* in;
  float scale;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    const auto x = load<kWidth>(in + i);
    auto y = load<kWidth>(out + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      y.at[j] += scale * to_float(x.at[j]);
    }
    store<kWidth>(out + i, y);
  }
};

bool is_wide(const Tensor& tensor) { return is_aligned(tensor.data, kWide * size_of(tensor.type)); }

template <class Out, class In>
void convert(cudaStream_t stream, const Tensor& out, const Tensor& in) {
  for_each<kWide>("copy", stream, in.count, is_wide(out) && is_wide(in),
                  Convert<Out, In>{out.as<Out>(), in.as<In>()});
}

template <class Out>
void convert_to(cudaStream_t stream, const Tensor& out, const Tensor& in) {
  switch (in.type) {
    case Type::fp32:
      return convert<Out, float>(stream, out, in);
    case Type::bf16:
      return convert<Out, Bf16>(stream, out, in);
    case Type::fp16:
      return convert<Out, __half>(stream, out, in);
    default:
      throw std::runtime_error("copy: integers are not converted");
  }
}

template <class In>
void accumulate_from(cudaStream_t stream, const Tensor& out, const Tensor& in, float scale) {
  for_each<kWide>("accumulate", stream, in.count, is_wide(out) && is_wide(in),
                  Accumulate<In>{out.as<float>(), in.as<In>(), scale});
}

}  // namespace

void copy(cudaStream_t stream, const Tensor& out, const Tensor& in) {
  if (out.count != in.count) {
    throw std::runtime_error("copy: tensors of different lengths");
  }
  if (out.type == in.type) {
    if (out.data != in.data && in.count > 0) {
      CUDA_CHECK(cudaMemcpyAsync(out.data, in.data, in.bytes(), cudaMemcpyDeviceToDevice, stream));
    }
    return;
  }
  switch (out.type) {
    case Type::fp32:
      return convert_to<float>(stream, out, in);
    case Type::bf16:
      return convert_to<Bf16>(stream, out, in);
    case Type::fp16:
      return convert_to<__half>(stream, out, in);
    default:
      throw std::runtime_error("copy: integers are not converted");
  }
}

void accumulate(cudaStream_t stream, const Tensor& out, const Tensor& in, float scale) {
  require("accumulate", out, Type::fp32);
  switch (in.type) {
    case Type::fp32:
      return accumulate_from<float>(stream, out, in, scale);
    case Type::fp16:
      return accumulate_from<__half>(stream, out, in, scale);
    case Type::bf16:
      return accumulate_from<Bf16>(stream, out, in, scale);
    default:
      throw std::runtime_error("accumulate: integers are not added");
  }
}

}  // namespace foretrain::trainer::cuda
