// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/benchmark_timer.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "sim/core/error.hpp"
#include "sim/core/random.hpp"
#include "validation/trainer/measure.hpp"

namespace foretrain::trainer {
namespace {

constexpr int kRepeats = 5;
constexpr int kFewRepeats = 3;
constexpr double kMostCalls = 500;  // of a batch
constexpr std::int64_t kCleared = 1LL << 26;
constexpr std::int64_t kAlign = 128;    // numbers: tensors begin at whole lines of a cache
constexpr std::int64_t kNoise = 65536;  // numbers that differ

std::int64_t aligned(std::int64_t count) { return (count + kAlign - 1) / kAlign * kAlign; }

std::vector<float> filling(std::optional<float> number) {
  std::vector<float> numbers(static_cast<std::size_t>(kNoise), number.value_or(0));
  for (std::size_t i = 0; i < numbers.size() && !number; ++i) {
    numbers[i] = static_cast<float>(static_cast<double>(random_word({i}) >> 11U) * 0x1p-52 - 1);
  }
  return numbers;
}

}  // namespace

std::unique_ptr<Communicator> benchmark_group(World& world, const std::string& name) {
  if (world.size() < 2) {
    throw std::runtime_error("one rank alone does not communicate: start two or more");
  }
  std::vector<int> ranks(static_cast<std::size_t>(world.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return world.group(ranks, name);
}

BenchmarkTimer::BenchmarkTimer(Device& device, World& world, double seconds)
    : device_(device), world_(world), seconds_(seconds) {
  if (device.activation_type() != Type::fp32) {
    cleared_ = device.allocate(kCleared, Type::fp32, MemoryClass::buffers);
  }
}

// A GPU gets something to do while the host enqueues what is timed, so that kernels follow one
// another at once: what a launch costs the host is another number. A call that waits for other
// ranks is longer than a launch anyway.
void BenchmarkTimer::run_ahead(Stream stream, std::int64_t count) {
  constexpr std::int64_t kCallsPerClear = 4;  // 10 us each, and 256 MiB in 55 to 150 us
  if (cleared_.tensor().data != nullptr) {
    for (std::int64_t i = 0; i <= count / kCallsPerClear; ++i) {
      device_.clear(stream, cleared_);
    }
  }
}

double BenchmarkTimer::batch(Stream stream, const Call& call, std::int64_t count) {
  constexpr std::string_view kName = "benchmark";
  device_.synchronize();
  world_.barrier();
  device_.start_spans();
  run_ahead(stream, count);
  {
    const SpanScope span(device_, stream, kName);
    for (std::int64_t i = 0; i < count; ++i) {
      call(next_++);
    }
  }
  for (const Span& span : device_.take_spans()) {
    if (span.name == kName) {
      return (span.end_s - span.start_s) / static_cast<double>(count);
    }
  }
  throw InternalError("a device that loses spans");
}

// The first call may touch memory or choose a kernel for the first time, and says nothing.
double BenchmarkTimer::time(Stream stream, const Call& call) {
  (void)batch(stream, call, 1);
  const double once = std::max(1e-9, world_.maximum(batch(stream, call, 1)));
  const double calls = seconds_ / (kRepeats + 1) / once;
  const auto count = static_cast<std::int64_t>(std::clamp(calls, 1.0, kMostCalls));
  const int repeats = calls < 1 ? kFewRepeats : kRepeats;
  if (count > 1) {
    (void)batch(stream, call, count);
  }
  std::vector<double> times;
  times.reserve(static_cast<std::size_t>(repeats));
  for (int repeat = 0; repeat < repeats; ++repeat) {
    times.push_back(batch(stream, call, count));
  }
  return world_.maximum(median(std::move(times)));
}

BenchmarkArena::BenchmarkArena(Device& device, Type type, std::int64_t largest,
                               std::int64_t footprint, std::optional<float> number) {
  const std::int64_t count =
      largest + std::max(kNoise, footprint / static_cast<std::int64_t>(size_of(type)));
  memory_ = device.allocate(count, type, MemoryClass::buffers);
  const std::vector<float> numbers = filling(number);
  const Memory some = device.allocate(kNoise, Type::fp32, MemoryClass::buffers);
  device.upload(some, numbers.data());
  for (std::int64_t first = 0; first < count; first += kNoise) {
    const std::int64_t length = std::min(kNoise, count - first);
    device.copy(kCompute, memory_.tensor().part(first, length), some.tensor().part(0, length));
  }
  device.synchronize();
}

std::vector<Tensor> BenchmarkArena::round(std::int64_t i,
                                          const std::vector<std::int64_t>& counts) const {
  std::int64_t size = 0;
  for (const std::int64_t count : counts) {
    size += aligned(count);
  }
  const Tensor& memory = memory_.tensor();
  FORETRAIN_ASSERT(0 < size && size <= memory.count,
                   "a kernel that its benchmark has no memory for");
  std::int64_t first = i % (memory.count / size) * size;
  std::vector<Tensor> tensors;
  tensors.reserve(counts.size());
  for (const std::int64_t count : counts) {
    tensors.push_back(memory.part(first, count));
    first += aligned(count);
  }
  return tensors;
}

}  // namespace foretrain::trainer
