// Collectives and messages over payloads.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <ostream>

#include <fmt/format.h>

#include "validation/trainer/benchmark.hpp"
#include "validation/trainer/benchmark_timer.hpp"

namespace foretrain::trainer {
namespace {

constexpr std::int64_t kFactor = 4;  // from one payload to the next

class CollectiveBench {
 public:
  CollectiveBench(Device& device, World& world, Communicator& group, const CollectiveSweep& sweep)
      : world_(world),
        group_(group),
        sweep_(sweep),
        timer_(device, world, sweep.seconds),
        from_(device.allocate(count(sweep.most), Type::fp32, MemoryClass::buffers)),
        to_(device.allocate(count(sweep.most), Type::fp32, MemoryClass::buffers)) {}

  void time_all(std::ostream& out) {
    time("all_reduce", out, [&](std::int64_t n) {
      group_.all_reduce(kCompute, to_.tensor().part(0, n), Reduction::sum);
    });
    time("all_gather", out, [&](std::int64_t n) {
      const Tensor whole = to_.tensor().part(0, n);
      group_.all_gather(kCompute, whole, own(whole));
    });
    time("reduce_scatter", out, [&](std::int64_t n) {
      const Tensor whole = to_.tensor().part(0, n);
      group_.reduce_scatter(kCompute, own(whole), whole);
    });
    time("all_to_all", out, [&](std::int64_t n) {
      group_.all_to_all(kCompute, to_.tensor().part(0, n), from_.tensor().part(0, n));
    });
    time("send_recv", out, [&](std::int64_t n) { there_and_back(n); });
  }

 private:
  // Whole numbers of fp32 for each rank.
  [[nodiscard]] std::int64_t count(std::int64_t bytes) const {
    const std::int64_t each = bytes / static_cast<std::int64_t>(size_of(Type::fp32));
    return std::max<std::int64_t>(1, each / world_.size()) * world_.size();
  }
  [[nodiscard]] Tensor own(const Tensor& whole) const {
    const std::int64_t part = whole.count / group_.size();
    return whole.part(group_.rank() * part, part);
  }
  void there_and_back(std::int64_t n) {
    const Tensor message = to_.tensor().part(0, n);
    if (group_.rank() == 0) {
      group_.send(kCompute, message, 1);
      group_.receive(kCompute, message, 1);
    } else if (group_.rank() == 1) {
      group_.receive(kCompute, message, 0);
      group_.send(kCompute, message, 0);
    }
  }

  void time(std::string_view name, std::ostream& out,
            const std::function<void(std::int64_t n)>& call) {
    const double calls = name == "send_recv" ? 2 : 1;
    const std::int64_t ranks = name == "send_recv" ? 2 : world_.size();
    for (std::int64_t bytes = sweep_.least; bytes <= sweep_.most; bytes *= kFactor) {
      const std::int64_t n = count(bytes);
      const double seconds = timer_.time(kCompute, [&](std::int64_t) { call(n); });
      if (world_.rank() == 0) {
        out << fmt::format("{},{},{},{},{:.5g}\n", name, 4 * n, ranks, ranks,
                           seconds / calls * 1e6);
      }
      if (seconds * static_cast<double>(kFactor) > sweep_.longest_call) {
        return;  // alike on all ranks
      }
    }
  }

  World& world_;
  Communicator& group_;
  CollectiveSweep sweep_;
  BenchmarkTimer timer_;
  Memory from_;
  Memory to_;
};

}  // namespace

void benchmark_collectives(Device& device, World& world, const CollectiveSweep& sweep,
                           std::ostream& out) {
  const auto group = benchmark_group(world, "benchmark collectives");
  if (world.rank() == 0) {
    out << "collective,message_bytes,num_gpus,num_nodes,measured_time_us\n";
  }
  CollectiveBench(device, world, *group, sweep).time_all(out);
}

}  // namespace foretrain::trainer
