// Codecs as training runs them: coding's share of compressed all-reduces.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <ostream>

#include <fmt/format.h>

#include "validation/trainer/benchmark.hpp"
#include "validation/trainer/benchmark_timer.hpp"
#include "validation/trainer/measure.hpp"

namespace foretrain::trainer {
namespace {

constexpr int kCodecRepeats = 7;

/// Of one all-reduce.
struct Coding {
  double encode = 0;
  double decode = 0;
};

// What the simulator takes for a sum by rates, where they are infinite but for one of them, which
// is a byte a second: how many bytes are coded that way.
Coding coded_bytes(WireCompression how, const Message& message, std::size_t ranks) {
  constexpr BytesPerSecond kOne(1);
  constexpr BytesPerSecond kEndless(1e300);
  const auto total = [&](const CodecRates& rates) {
    how.rates = rates;
    const CodedExchange steps =
        exchange(CollectiveKind::all_reduce, how, message, GroupShape{ranks, 1});
    return std::accumulate(steps.begin(), steps.end(), 0.0,
                           [](double sum, const ExchangeStep& step) {
                             const auto* work = std::get_if<CodecWork>(&step);
                             return sum + (work != nullptr ? work->fixed.value : 0);
                           });
  };
  return {total({kOne, kEndless}), total({kEndless, kOne})};
}

class CodecBench {
 public:
  CodecBench(Device& device, World& world, Communicator& group, const BucketShape& bucket)
      : device_(device), world_(world), group_(group), bucket_(bucket) {
    noise_ = device.allocate(bucket.count, Type::fp32, MemoryClass::buffers);
    gradient_ = device.allocate(bucket.count, Type::fp32, MemoryClass::gradients);
    const BenchmarkArena arena(device, Type::fp32, bucket.count, 0);
    device.copy(kCompute, noise_, arena.round(0, {bucket.count})[0]);
    device.synchronize();
  }

  /// Seconds: the median of repeats, of the slowest rank.
  [[nodiscard]] Coding time(const WireCompression& how) {
    const auto sum = compressed_sum(device_, how, {bucket_}, group_.size());
    std::vector<double> encode;
    std::vector<double> decode;
    encode.reserve(kCodecRepeats);
    decode.reserve(kCodecRepeats);
    for (int repeat = -1; repeat < kCodecRepeats; ++repeat) {
      const Coding once = one(*sum);
      if (repeat >= 0) {  // the first touches memory for the first time
        encode.push_back(once.encode);
        decode.push_back(once.decode);
      }
    }
    return {world_.maximum(median(std::move(encode))), world_.maximum(median(std::move(decode)))};
  }

 private:
  [[nodiscard]] Coding one(GradientSum& sum) {
    device_.copy(kCompute, gradient_, noise_);
    device_.synchronize();
    world_.barrier();
    device_.start_spans();
    sum.all_reduce(kCompute, 0, gradient_, group_);
    Coding coding;
    for (const Span& span : device_.take_spans()) {
      double* const kind = span.name == "encode"   ? &coding.encode
                           : span.name == "decode" ? &coding.decode
                                                   : nullptr;
      if (kind != nullptr) {
        *kind += span.end_s - span.start_s;
      }
    }
    return coding;
  }

  Device& device_;
  World& world_;
  Communicator& group_;
  const BucketShape& bucket_;
  Memory noise_;
  Memory gradient_;
};

}  // namespace

BucketShape layer_bucket(std::int64_t hidden) {
  BucketShape bucket;
  const auto add = [&bucket](std::int64_t rows, std::int64_t columns) {
    bucket.parts.push_back({bucket.count, rows, columns});
    bucket.count += rows * columns;
  };
  add(1, 2 * hidden);
  add(3 * hidden, hidden);
  add(1, 3 * hidden);
  add(hidden, hidden);
  add(1, hidden);
  add(1, 2 * hidden);
  add(4 * hidden, hidden);
  add(1, 4 * hidden);
  add(hidden, 4 * hidden);
  add(1, hidden);
  return bucket;
}

void benchmark_codecs(Device& device, World& world, const std::vector<WireCompression>& methods,
                      const std::vector<BucketShape>& buckets, std::ostream& out) {
  const auto group = benchmark_group(world, "benchmark codecs");
  if (world.rank() == 0) {
    out << "method,message_bytes,encode_us,decode_us,encode_GBps,decode_GBps,num_gpus\n";
  }
  for (const BucketShape& bucket : buckets) {
    CodecBench bench(device, world, *group, bucket);
    const Message message{static_cast<double>(bucket.count), Bytes(4), Dtype::fp32};
    const double bytes = message.bytes().value;
    for (const WireCompression& how : methods) {
      const Coding taken = bench.time(how);
      const Coding coded = coded_bytes(how, message, static_cast<std::size_t>(world.size()));
      const double encode = coded.encode / std::max(1e-9, taken.encode);
      const double decode = coded.decode / std::max(1e-9, taken.decode);
      if (world.rank() == 0) {
        out << fmt::format("{},{:.0f},{:.5g},{:.5g},{:.4g},{:.4g},{}\n", how.method->name, bytes,
                           bytes / encode * 1e6, bytes / decode * 1e6, encode * 1e-9, decode * 1e-9,
                           world.size());
      }
    }
  }
}

}  // namespace foretrain::trainer
