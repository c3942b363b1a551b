// Runs CUDA kernels on the host, so that they are tested where there is no GPU. Every thread of a
// block is a fiber of its own; one runs until it waits for others: at a barrier, or in an operation
// of its warp. Blocks run one after another. The compiler is told to include this file first.
//
// What it finds: wrong indices, wrong fragments, missing barriers (blocks are run in several orders
// of threads, see set_order), threads that wait for one another for ever. What it cannot find:
// races between blocks, limits of the hardware, and whatever this file misunderstands.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <functional>

// NOLINTBEGIN: CUDA's names.
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __shared__ static  // blocks run one after another
#define __launch_bounds__(...)

// What a kernel reads of its place; set whenever a thread goes on.
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
// NOLINTEND

namespace emulation {

/// The order in which the threads of a block are run: 0 ascending, 1 descending, others shuffled.
/// If odd, a warp goes as far as it can before the next one runs; else they take turns.
void set_order(unsigned seed);

void run(std::int64_t blocks, dim3 threads, std::size_t dynamic_bytes,
         const std::function<void()>& kernel);

[[nodiscard]] uint4* dynamic_shared();

/// What one lane brings to an operation of its warp.
using Deposit = std::uint64_t[6];

/// Waits until all lanes of the warp have come; returns what they brought.
const Deposit* exchange(const Deposit& mine);

/// ldmatrix.x4: lane l gives the address of row l % 8 of matrix l / 8, and gets of each matrix two
/// neighbours of row l / 4 (PTX ISA, "ldmatrix").
void load_matrices(std::uint32_t (&out)[4], const __nv_bfloat16* row, bool is_transposed);

/// mma.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16").
void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

template <class Value>
Value from_lane(Value value, unsigned lane) {
  Deposit mine{};
  std::memcpy(&mine[0], &value, sizeof(value));
  const Deposit* all = exchange(mine);
  std::memcpy(&value, &all[lane][0], sizeof(value));
  return value;
}

[[nodiscard]] unsigned lane();

}  // namespace emulation

void __syncthreads();  // NOLINT: CUDA's name

template <class Value>
Value __shfl_sync(unsigned /*mask*/, Value value, int lane) {  // NOLINT
  return emulation::from_lane(value, static_cast<unsigned>(lane));
}
template <class Value>
Value __shfl_xor_sync(unsigned /*mask*/, Value value, int mask) {  // NOLINT
  return emulation::from_lane(value, emulation::lane() ^ static_cast<unsigned>(mask));
}
template <class Value>
Value __shfl_up_sync(unsigned /*mask*/, Value value, int delta) {  // NOLINT
  const unsigned self = emulation::lane();
  const auto by = static_cast<unsigned>(delta);
  return emulation::from_lane(value, self < by ? self : self - by);
}

template <class Number>
Number atomicAdd(Number* to, Number value) {  // NOLINT
  const Number before = *to;
  *to += value;
  return before;
}

inline std::uint32_t __float_as_uint(float x) {  // NOLINT
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline float __expf(float x) { return std::exp(x); }          // NOLINT
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }  // NOLINT
