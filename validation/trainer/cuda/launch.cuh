// What kernels share: how they are started, wide loads, and sums over warps and blocks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdexcept>
#include <string>

#include "validation/trainer/cuda/check.hpp"
#include "validation/trainer/tensor.hpp"

namespace foretrain::trainer::cuda {

using Bf16 = __nv_bfloat16;

inline constexpr int kWarp = 32;              // threads of a warp
inline constexpr unsigned kAll = 0xFFFFFFFF;  // lanes of a warp

struct Shape {
  std::int64_t blocks = 1;
  dim3 threads;
  std::size_t dynamic_bytes = 0;  // of shared memory
};

/// Starts a kernel; a launch without blocks does nothing. The tests define FORETRAIN_EMULATED and
/// run every thread on the host.
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), const Shape& shape,
            cudaStream_t stream, Arguments... arguments) {
  constexpr std::int64_t kMostBlocks = 0x7FFFFFFF;  // of the first dimension of a grid
  if (shape.blocks <= 0) {
    return;
  }
  if (shape.blocks > kMostBlocks) {
    throw std::runtime_error(std::string("kernel ") + name + ": too many blocks");
  }
#ifdef FORETRAIN_EMULATED
  static_cast<void>(stream);
  emulation::run(shape.blocks, shape.threads, shape.dynamic_bytes,
                 [&] { kernel(static_cast<Parameters>(arguments)...); });
#else
  kernel<<<static_cast<unsigned>(shape.blocks), shape.threads, shape.dynamic_bytes, stream>>>(
      static_cast<Parameters>(arguments)...);
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) {
    throw std::runtime_error(std::string("kernel ") + name + ": " + cudaGetErrorString(status));
  }
#endif
}

// Shared memory whose size the launch says.
#ifdef FORETRAIN_EMULATED
#define DYNAMIC_SHARED(name) auto* name = emulation::dynamic_shared()
#else
#define DYNAMIC_SHARED(name) extern __shared__ uint4 name[]
#endif

/// Lets a kernel have that much dynamic shared memory.
template <class... Parameters>
void allow_shared_bytes(void (*kernel)(Parameters...), std::size_t bytes) {
#ifdef FORETRAIN_EMULATED
  static_cast<void>(kernel);
  static_cast<void>(bytes);
#else
  CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(bytes)));
#endif
}

inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// REQUIRES: the tensor is of type `type`.
inline void require(const char* kernel, const Tensor& tensor, Type type) {
  if (tensor.type != type) {
    throw std::runtime_error(std::string("kernel ") + kernel + ": a tensor of another type");
  }
}

inline bool is_aligned(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

/// Numbers that are loaded and stored at once.
template <class Number, int kWidth>
struct alignas(sizeof(Number) * kWidth) Pack {
  Number at[kWidth];
};

template <int kWidth, class Number>
__device__ Pack<Number, kWidth> load(const Number* from) {
  return *reinterpret_cast<const Pack<Number, kWidth>*>(from);
}
template <int kWidth, class Number>
__device__ void store(Number* to, const Pack<Number, kWidth>& pack) {
  *reinterpret_cast<Pack<Number, kWidth>*>(to) = pack;
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(Bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(__half x) { return __half2float(x); }
template <class Number>
__device__ Number from_float(float x) {
  if constexpr (sizeof(Number) == sizeof(float)) {
    return x;
  } else if constexpr (std::is_same_v<Number, Bf16>) {
    return __float2bfloat16(x);
  } else {
    return __float2half(x);
  }
}

/// One thread for each pack of numbers; the thread whose pack is cut off does the rest one by one.
template <int kWidth, class Body>
__global__ void elementwise_kernel(std::int64_t count, Body body) {
  const std::int64_t i =
      (static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (i + kWidth <= count) {
    body.template run<kWidth>(i);
    return;
  }
  for (std::int64_t j = i; j < count; ++j) {
    body.template run<1>(j);
  }
}

/// body.run<kWidth>(i) works on numbers i .. i + kWidth - 1. is_wide: all memory is aligned for
/// kWidth numbers at once.
template <int kWidth, class Body>
void for_each(const char* name, cudaStream_t stream, std::int64_t count, bool is_wide,
              const Body& body) {
  constexpr int kThreads = 256;
  if (is_wide) {
    launch(name, elementwise_kernel<kWidth, Body>, {divide_up(count, kThreads * kWidth), kThreads},
           stream, count, body);
  } else {
    launch(name, elementwise_kernel<1, Body>, {divide_up(count, kThreads), kThreads}, stream, count,
           body);
  }
}

__device__ inline float warp_sum(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    x += __shfl_xor_sync(kAll, x, offset);
  }
  return x;
}
__device__ inline float warp_maximum(float x) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    x = fmaxf(x, __shfl_xor_sync(kAll, x, offset));
  }
  return x;
}

/// Of all threads of a one-dimensional block of whole warps; every thread gets it. `room` is shared
/// memory for 32 numbers, free again when the call returns.
__device__ inline float block_sum(float x, float* room) {
  x = warp_sum(x);
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  if (threadIdx.x % kWarp == 0) {
    room[threadIdx.x / kWarp] = x;
  }
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < warps; ++w) {
    sum += room[w];
  }
  __syncthreads();
  return sum;
}
__device__ inline float block_maximum(float x, float* room) {
  x = warp_maximum(x);
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  if (threadIdx.x % kWarp == 0) {
    room[threadIdx.x / kWarp] = x;
  }
  __syncthreads();
  float maximum = room[0];
  for (int w = 1; w < warps; ++w) {
    maximum = fmaxf(maximum, room[w]);
  }
  __syncthreads();
  return maximum;
}

/// Threads of a block that works on a row of that many packs.
inline int threads_for(std::int64_t packs, int most) {
  const std::int64_t whole_warps = divide_up(packs, kWarp) * kWarp;
  return static_cast<int>(std::clamp<std::int64_t>(whole_warps, kWarp, most));
}

}  // namespace foretrain::trainer::cuda
