// The k numbers of largest size: a radix search on the bits of |x| finds the k-th, three passes of
// a histogram each; then two more passes write those above it, and of those equal to it the first.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEach = 8;  // consecutive numbers of a thread
constexpr std::int64_t kChunk = std::int64_t{kThreads} * kEach;
constexpr int kBins = 2048;
constexpr std::int64_t kMostHistogramBlocks = 1024;

// 31 bits of |x|, the highest first: 11, 11 and 9.
constexpr int kPasses = 3;
constexpr int kShifts[kPasses] = {20, 9, 0};
constexpr int kWidths[kPasses] = {11, 11, 9};

struct Selection {
  std::uint32_t prefix;     // bits of the k-th largest that are known
  std::uint32_t remaining;  // how many are to be taken of those that agree in them
};

// How many of a chunk are above the k-th largest, and how many are equal to it.
struct Counts {
  std::uint32_t above;
  std::uint32_t equal;
};

__device__ Counts operator+(Counts a, Counts b) { return {a.above + b.above, a.equal + b.equal}; }

struct Scratch {
  Selection* selection;
  std::uint32_t* histogram;  // [kBins]
  Counts* chunks;
};

constexpr std::size_t kHeadBytes = 256;  // the selection, and room to align what follows

Scratch scratch_of(void* memory) {
  auto* bytes = static_cast<std::byte*>(memory);
  return {reinterpret_cast<Selection*>(bytes), reinterpret_cast<std::uint32_t*>(bytes + kHeadBytes),
          reinterpret_cast<Counts*>(bytes + kHeadBytes + kBins * sizeof(std::uint32_t))};
}

__device__ std::uint32_t bits_of(float x) { return __float_as_uint(x) & 0x7FFFFFFFU; }

__global__ void start_kernel(Scratch scratch, std::uint32_t k) {
  if (threadIdx.x == 0) {
    *scratch.selection = {0, k};
  }
  for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kThreads) {
    scratch.histogram[bin] = 0;
  }
}

// Counts the next digit of those numbers whose digits before it are the prefix.
__global__ void histogram_kernel(Scratch scratch, const float* in, std::int64_t count, int shift,
                                 int width) {
  __shared__ std::uint32_t bins[kBins];
  for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kThreads) {
    bins[bin] = 0;
  }
  __syncthreads();
  const std::uint32_t prefix = scratch.selection->prefix;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    const std::uint32_t bits = bits_of(in[i]);
    if (bits >> (shift + width) == prefix) {
      atomicAdd(bins + ((bits >> shift) & ((1U << width) - 1)), 1U);
    }
  }
  __syncthreads();
  for (int bin = static_cast<int>(threadIdx.x); bin < (1 << width); bin += kThreads) {
    if (bins[bin] > 0) {
      atomicAdd(scratch.histogram + bin, bins[bin]);
    }
  }
}

// One block: from the highest digit down, the one in which the k-th largest lies. Clears the
// histogram for the next pass.
__global__ void select_digit_kernel(Scratch scratch, int width) {
  __shared__ std::uint32_t bins[kBins];
  for (int bin = static_cast<int>(threadIdx.x); bin < kBins; bin += kThreads) {
    bins[bin] = scratch.histogram[bin];
    scratch.histogram[bin] = 0;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    std::uint32_t remaining = scratch.selection->remaining;
    int bin = (1 << width) - 1;
    while (bin > 0 && bins[bin] < remaining) {
      remaining -= bins[bin];
      --bin;
    }
    const std::uint32_t prefix = scratch.selection->prefix;
    *scratch.selection = {(prefix << width) | static_cast<std::uint32_t>(bin), remaining};
  }
}

// Exclusive sum over the threads of a block, in order; `all` becomes the sum of all.
__device__ Counts block_scan(Counts mine, Counts* room, Counts& all) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  Counts inclusive = mine;
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const std::uint32_t above = __shfl_up_sync(kAll, inclusive.above, offset);
    const std::uint32_t equal = __shfl_up_sync(kAll, inclusive.equal, offset);
    if (lane >= offset) {
      inclusive = inclusive + Counts{above, equal};
    }
  }
  if (lane == kWarp - 1) {
    room[warp] = inclusive;
  }
  __syncthreads();
  Counts before{0, 0};
  all = {0, 0};
  for (int w = 0; w < static_cast<int>(blockDim.x) / kWarp; ++w) {
    if (w == warp) {
      before = all;
    }
    all = all + room[w];
  }
  __syncthreads();
  return before + Counts{inclusive.above - mine.above, inclusive.equal - mine.equal};
}

__device__ Counts count_of(const float* in, std::int64_t begin, std::int64_t count,
                           std::uint32_t threshold) {
  Counts counts{0, 0};
  for (std::int64_t i = begin; i < begin + kEach && i < count; ++i) {
    const std::uint32_t bits = bits_of(in[i]);
    counts.above += bits > threshold ? 1U : 0U;
    counts.equal += bits == threshold ? 1U : 0U;
  }
  return counts;
}

__global__ void count_chunks_kernel(Scratch scratch, const float* in, std::int64_t count) {
  __shared__ Counts room[kWarp];
  const std::int64_t begin = blockIdx.x * kChunk + threadIdx.x * kEach;
  Counts all;
  block_scan(count_of(in, begin, count, scratch.selection->prefix), room, all);
  if (threadIdx.x == 0) {
    scratch.chunks[blockIdx.x] = all;
  }
}

// One block: the counts of chunks become those of all chunks before.
__global__ void scan_chunks_kernel(Scratch scratch, std::int64_t chunks) {
  __shared__ Counts room[kWarp];
  Counts before{0, 0};
  for (std::int64_t first = 0; first < chunks; first += blockDim.x) {
    const std::int64_t i = first + threadIdx.x;
    Counts all;
    const Counts sum = block_scan(i < chunks ? scratch.chunks[i] : Counts{0, 0}, room, all);
    if (i < chunks) {
      scratch.chunks[i] = before + sum;
    }
    before = before + all;
  }
}

__global__ void take_kernel(float* values, std::int32_t* places, float* in, Scratch scratch,
                            std::int64_t count) {
  __shared__ Counts room[kWarp];
  const std::uint32_t threshold = scratch.selection->prefix;
  const std::uint32_t ties = scratch.selection->remaining;
  const std::int64_t begin = blockIdx.x * kChunk + threadIdx.x * kEach;
  Counts all;
  Counts before =
      scratch.chunks[blockIdx.x] + block_scan(count_of(in, begin, count, threshold), room, all);
  for (std::int64_t i = begin; i < begin + kEach && i < count; ++i) {
    const float x = in[i];
    const std::uint32_t bits = bits_of(x);
    const bool is_above = bits > threshold;
    const bool is_equal = bits == threshold;
    if (is_above || (is_equal && before.equal < ties)) {
      const std::uint32_t to = before.above + (before.equal < ties ? before.equal : ties);
      values[to] = x;
      places[to] = static_cast<std::int32_t>(i);
      in[i] = 0;
    }
    before.above += is_above ? 1U : 0U;
    before.equal += is_equal ? 1U : 0U;
  }
}

}  // namespace

std::size_t take_largest_bytes(std::int64_t count) {
  return kHeadBytes + kBins * sizeof(std::uint32_t) +
         static_cast<std::size_t>(divide_up(count, kChunk)) * sizeof(Counts);
}

void take_largest(cudaStream_t stream, const Tensor& values, const Tensor& places, const Tensor& in,
                  std::int64_t k, void* memory) {
  constexpr const char* kName = "take_largest";
  require(kName, values, Type::fp32);
  require(kName, places, Type::int32);
  require(kName, in, Type::fp32);
  if (k <= 0) {
    return;
  }
  if (k > in.count || in.count > 0x7FFFFFFF) {
    throw std::runtime_error("take_largest: more numbers than there are, or than int32 can place");
  }
  const Scratch scratch = scratch_of(memory);
  const std::int64_t chunks = divide_up(in.count, kChunk);
  launch(kName, start_kernel, {1, kThreads}, stream, scratch, static_cast<std::uint32_t>(k));
  for (int pass = 0; pass < kPasses; ++pass) {
    launch(kName, histogram_kernel, {std::min(chunks, kMostHistogramBlocks), kThreads}, stream,
           scratch, in.as<float>(), in.count, kShifts[pass], kWidths[pass]);
    launch(kName, select_digit_kernel, {1, kThreads}, stream, scratch, kWidths[pass]);
  }
  launch(kName, count_chunks_kernel, {chunks, kThreads}, stream, scratch, in.as<float>(), in.count);
  launch(kName, scan_chunks_kernel, {1, kWarp * kWarp}, stream, scratch, chunks);
  launch(kName, take_kernel, {chunks, kThreads}, stream, values.as<float>(),
         places.as<std::int32_t>(), in.as<float>(), scratch, in.count);
}

}  // namespace foretrain::trainer::cuda
