// What computing and communication take from one another.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ostream>

#include <fmt/format.h>

#include "validation/trainer/benchmark.hpp"
#include "validation/trainer/benchmark_timer.hpp"

namespace foretrain::trainer {
namespace {

constexpr double kMore = 3;  // GEMMs go on for so much longer than all-reduces
constexpr std::string_view kGemm = "gemm";
constexpr std::string_view kSum = "sum";

struct Pair {
  double gemm = 0;
  double sum = 0;
};

class Interference {
 public:
  Interference(Device& device, World& world)
      : device_(device),
        world_(world),
        group_(benchmark_group(world, "benchmark interference")),
        beside_(device.add_stream("benchmark")),
        size_(device.activation_type() == Type::fp32 ? 384 : 4096),
        gradient_(device.allocate(device.activation_type() == Type::fp32 ? 1LL << 20 : 1LL << 26,
                                  Type::fp32, MemoryClass::buffers)),
        operands_(device, device.activation_type(), 3 * size_ * size_, 0) {}

  [[nodiscard]] Pair alone(double seconds) {
    BenchmarkTimer timer(device_, world_, seconds / 2);
    return {timer.time(kCompute, [&](std::int64_t) { multiply(); }),
            timer.time(beside_, [&](std::int64_t) { sum(); })};
  }

  // Only what lies within the time of the other counts. If one is over at once, nothing does.
  [[nodiscard]] Pair together(const Pair& alone, double seconds) {
    const auto sums = std::max<std::int64_t>(2, static_cast<std::int64_t>(seconds / alone.sum));
    const auto gemms = std::max<std::int64_t>(
        2, static_cast<std::int64_t>(kMore * static_cast<double>(sums) * alone.sum / alone.gemm));
    device_.synchronize();
    world_.barrier();
    device_.start_spans();
    for (std::int64_t i = 0; i < sums; ++i) {
      const SpanScope span(device_, beside_, kSum);
      sum();
    }
    for (std::int64_t i = 0; i < gemms; ++i) {
      const SpanScope span(device_, kCompute, kGemm);
      multiply();
    }
    const std::vector<Span> spans = device_.take_spans();
    return {world_.maximum(mean_within(spans, kGemm, kSum)),
            world_.maximum(mean_within(spans, kSum, kGemm))};
  }

 private:
  void multiply() {
    const std::int64_t count = size_ * size_;
    const auto tensors = operands_.round(0, {count, count, count});
    device_.linear(kCompute, tensors[0], tensors[1], tensors[2], Tensor{}, size_, size_);
  }
  void sum() { group_->all_reduce(beside_, gradient_, Reduction::sum); }

  // The mean of the spans of one name that lie between the first start and the last end of
  // another's.
  static double mean_within(const std::vector<Span>& spans, std::string_view name,
                            std::string_view other) {
    double start = 0;
    double end = 0;
    bool is_first = true;
    for (const Span& span : spans) {
      if (span.name == other) {
        start = is_first ? span.start_s : std::min(start, span.start_s);
        end = is_first ? span.end_s : std::max(end, span.end_s);
        is_first = false;
      }
    }
    double sum = 0;
    double count = 0;
    for (const Span& span : spans) {
      if (span.name == name && span.start_s >= start && span.end_s <= end) {
        sum += span.end_s - span.start_s;
        ++count;
      }
    }
    return count > 0 ? sum / count : 0;
  }

  Device& device_;
  World& world_;
  std::unique_ptr<Communicator> group_;
  Stream beside_;
  std::int64_t size_;  // of square matrices
  Memory gradient_;
  BenchmarkArena operands_;
};

}  // namespace

void benchmark_interference(Device& device, World& world, double seconds, std::ostream& out) {
  Interference bench(device, world);
  const Pair alone = bench.alone(seconds);
  Pair beside = bench.together(alone, seconds);
  beside.gemm = beside.gemm > 0 ? beside.gemm : alone.gemm;
  beside.sum = beside.sum > 0 ? beside.sum : alone.sum;
  if (world.rank() == 0) {
    out << "alone_us,beside_us,collective_alone_us,collective_beside_us,compute_share,"
           "collective_slowdown\n";
    out << fmt::format("{:.5g},{:.5g},{:.5g},{:.5g},{:.4f},{:.4f}\n", alone.gemm * 1e6,
                       beside.gemm * 1e6, alone.sum * 1e6, beside.sum * 1e6,
                       std::max(0.0, 1 - alone.gemm / beside.gemm), beside.sum / alone.sum);
  }
}

}  // namespace foretrain::trainer
