// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/cuda/gpu.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

// To the nearest, ties to even.
float as_bf16(float x) {
  auto bits = std::bit_cast<std::uint32_t>(x);
  bits += 0x7FFFU + (bits >> 16U & 1U);
  return std::bit_cast<float>(bits & 0xFFFF0000U);
}

bool is_floating(Type type) { return type != Type::int8 && type != Type::int32; }

template <class Number>
std::vector<float> integers_of(Device& device, const Tensor& tensor) {
  std::vector<Number> values(static_cast<std::size_t>(tensor.count));
  device.download(values.data(), tensor);
  std::vector<float> floats(values.size());
  std::transform(values.begin(), values.end(), floats.begin(),
                 [](Number value) { return static_cast<float>(value); });
  return floats;
}

std::vector<float> values_of(Device& device, const Tensor& tensor) {
  switch (tensor.type) {
    case Type::int8:
      return integers_of<std::int8_t>(device, tensor);
    case Type::int32:
      return integers_of<std::int32_t>(device, tensor);
    case Type::fp32:
      return integers_of<float>(device, tensor);
    default: {
      const Memory wide = device.allocate(tensor.count, Type::fp32, MemoryClass::buffers);
      device.copy(kCompute, wide, tensor);
      return integers_of<float>(device, wide);
    }
  }
}

}  // namespace

Both Pair::zeros(std::int64_t count, Type type) {
  return {gpu_->allocate(count, type, MemoryClass::buffers),
          cpu_->allocate(count, is_floating(type) ? Type::fp32 : type, MemoryClass::buffers)};
}

Both Pair::numbers(const std::vector<float>& values, Type type) {
  std::vector<float> rounded = values;
  if (type == Type::bf16) {
    std::transform(values.begin(), values.end(), rounded.begin(), as_bf16);
  }
  const auto count = static_cast<std::int64_t>(values.size());
  Both both = zeros(count, type);
  const Memory wide = gpu_->allocate(count, Type::fp32, MemoryClass::buffers);
  gpu_->upload(wide, rounded.data());
  gpu_->copy(kCompute, both.gpu, wide);
  gpu_->synchronize();
  cpu_->upload(both.cpu, rounded.data());
  return both;
}

Both Pair::random(std::int64_t count, std::uint32_t seed, float scale, Type type) {
  return numbers(random_values(count, seed, scale), type);
}

Both Pair::integers(const std::vector<std::int32_t>& values) {
  Both both = zeros(static_cast<std::int64_t>(values.size()), Type::int32);
  gpu_->upload(both.gpu, values.data());
  cpu_->upload(both.cpu, values.data());
  return both;
}

std::vector<float> Pair::gpu_values(const Tensor& tensor) { return values_of(*gpu_, tensor); }
std::vector<float> Pair::cpu_values(const Tensor& tensor) { return values_of(*cpu_, tensor); }

double Pair::difference(const Both& both) {
  const std::vector<float> a = gpu_values(both.gpu);
  const std::vector<float> b = cpu_values(both.cpu);
  double largest = 0;
  double worst = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const auto wrong = static_cast<double>(std::abs(a[i] - b[i]));
    if (std::isnan(wrong)) {
      return std::numeric_limits<double>::infinity();
    }
    worst = std::max(worst, wrong);
    largest = std::max(largest, static_cast<double>(std::abs(b[i])));
  }
  return worst == 0 ? 0 : worst / largest;
}

std::vector<float> random_values(std::int64_t count, std::uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    value = scale * (static_cast<float>(random() >> 8U) * 0x1p-23F - 1);
  }
  return values;
}

std::unique_ptr<Pair> gpu_and_cpu(unsigned order) {
  set_thread_order(order);
  auto gpu = find_gpu();
  if (gpu == nullptr) {
    WARN("skipped: no GPU");
    return nullptr;
  }
  return std::make_unique<Pair>(std::move(gpu), cpu_device());
}

}  // namespace foretrain::testing
