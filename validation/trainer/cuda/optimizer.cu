// AdamW in one pass, and sums of squares for clipping.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/arithmetic.hpp"
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 4;  // fp32 numbers in 16 bytes
constexpr std::size_t kWideBytes = 16;

template <class Number>
struct AdamWBody {
  Number* parameters;
  float* master;
  float* first_moment;
  float* second_moment;
  const float* gradient;
  AdamWStep step;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    auto x = load<kWidth>(master + i);
    auto m = load<kWidth>(first_moment + i);
    auto v = load<kWidth>(second_moment + i);
    const auto g = load<kWidth>(gradient + i);
    Pack<Number, kWidth> rounded;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      x.at[j] = adamw_of(x.at[j], m.at[j], v.at[j], g.at[j], step);
      rounded.at[j] = from_float<Number>(x.at[j]);
    }
    store<kWidth>(master + i, x);
    store<kWidth>(first_moment + i, m);
    store<kWidth>(second_moment + i, v);
    store<kWidth>(parameters + i, rounded);  // where it is the master, the same once more
  }
};

template <class Number>
void adamw_as(cudaStream_t stream, const AdamWBody<Number>& body, std::int64_t count) {
  const bool is_wide =
      is_aligned(body.parameters, kWide * sizeof(Number)) && is_aligned(body.master, kWideBytes) &&
      is_aligned(body.first_moment, kWideBytes) && is_aligned(body.second_moment, kWideBytes) &&
      is_aligned(body.gradient, kWideBytes);
  for_each<kWide>("adamw", stream, count, is_wide, body);
}

constexpr int kSumBlocks = 512;  // parts of a sum
constexpr int kSumThreads = 512;

__global__ void squares_kernel(float* parts, const float* in, std::int64_t count) {
  __shared__ float room[kWarp];
  float sum = 0;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += step) {
    sum += in[i] * in[i];
  }
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
  }
}

// One block of kSumThreads.
__global__ void add_squares_kernel(float* out, const float* parts, int count) {
  __shared__ float room[kWarp];
  const int i = static_cast<int>(threadIdx.x);
  const float sum = block_sum(i < count ? parts[i] : 0.0F, room);
  if (i == 0) {
    out[0] += sum;
  }
}

}  // namespace

void adamw(cudaStream_t stream, const Tensor& parameters, const Tensor& master,
           const Tensor& first_moment, const Tensor& second_moment, const Tensor& gradient,
           const AdamW& how) {
  require("adamw", master, Type::fp32);
  require("adamw", first_moment, Type::fp32);
  require("adamw", second_moment, Type::fp32);
  require("adamw", gradient, Type::fp32);
  const AdamWStep step = adamw_step(how);
  if (parameters.type == Type::fp32) {
    adamw_as<float>(stream,
                    {parameters.as<float>(), master.as<float>(), first_moment.as<float>(),
                     second_moment.as<float>(), gradient.as<float>(), step},
                    master.count);
    return;
  }
  require("adamw", parameters, Type::bf16);
  adamw_as<Bf16>(stream,
                 {parameters.as<Bf16>(), master.as<float>(), first_moment.as<float>(),
                  second_moment.as<float>(), gradient.as<float>(), step},
                 master.count);
}

std::size_t sum_of_squares_bytes() { return kSumBlocks * sizeof(float); }

void add_sum_of_squares(cudaStream_t stream, const Tensor& sum, const Tensor& in, void* scratch) {
  static_assert(kSumBlocks <= kSumThreads);
  require("add_sum_of_squares", sum, Type::fp32);
  require("add_sum_of_squares", in, Type::fp32);
  auto* parts = static_cast<float*>(scratch);
  const std::int64_t blocks =
      std::clamp<std::int64_t>(divide_up(in.count, kSumThreads), 1, kSumBlocks);
  launch("add_sum_of_squares", squares_kernel, {blocks, kSumThreads}, stream, parts, in.as<float>(),
         in.count);
  launch("add_sum_of_squares", add_squares_kernel, {1, kSumThreads}, stream, sum.as<float>(), parts,
         static_cast<int>(blocks));
}

}  // namespace foretrain::trainer::cuda
