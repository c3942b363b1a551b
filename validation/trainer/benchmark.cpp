// The benchmarks by name, with what they time unless told otherwise.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/benchmark.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain::trainer {
namespace {

bool is_processor(const Device& device) { return device.activation_type() == Type::fp32; }

void kernels(Device& device, World& world, double effort, std::ostream& out) {
  KernelSweep sweep = default_sweep(device);
  sweep.seconds *= effort;
  benchmark_kernels(device, world, sweep, out);
}

void collectives(Device& device, World& world, double effort, std::ostream& out) {
  CollectiveSweep sweep;
  sweep.seconds *= effort;
  sweep.longest_call *= effort;
  benchmark_collectives(device, world, sweep, out);
}

void codecs(Device& device, World& world, double /*effort*/, std::ostream& out) {
  std::vector<WireCompression> methods;
  for (const Compressor& row : compressors()) {
    WireCompression how{&row, CodecOptions(row.codec->options), false, 1};
    if (row.name == "cast") {
      how.options.set("to", 1);  // fp16
    }
    if (!refuse(how)) {
      methods.push_back(std::move(how));
    }
  }
  std::vector<BucketShape> buckets;
  for (const std::int64_t hidden : default_sweep(device).hidden) {
    buckets.push_back(layer_bucket(hidden));
  }
  benchmark_codecs(device, world, methods, buckets, out);
}

void interference(Device& device, World& world, double effort, std::ostream& out) {
  constexpr double kSeconds = 0.6;
  benchmark_interference(device, world, kSeconds * effort, out);
}

using Benchmark = void (*)(Device&, World&, double, std::ostream&);
constexpr std::array<std::pair<std::string_view, Benchmark>, 4> kBenchmarks = {
    {{"kernels", kernels},
     {"collectives", collectives},
     {"codecs", codecs},
     {"interference", interference}}};

}  // namespace

KernelSweep default_sweep(const Device& device) {
  KernelSweep sweep;
  if (is_processor(device)) {
    sweep.hidden = {256, 384};
    sweep.tokens = {256, 512, 1024};
    sweep.tensor = {1, 2};
    sweep.squares = {128, 512};
    return sweep;
  }
  // GPTs of 124 M to 3 B parameters; 32 MiB and more of cache.
  sweep.hidden = {768, 1024, 1280, 1600, 2560};
  sweep.tokens = {2048, 8192, 16384};
  sweep.tensor = {1};
  sweep.squares = {256, 1024, 4096};
  sweep.sequence = 1024;
  sweep.vocabulary = 50304;
  sweep.seconds = 0.05;
  sweep.footprint = 256LL << 20;
  return sweep;
}

std::vector<std::string> benchmark_names() {
  std::vector<std::string> names;
  names.reserve(kBenchmarks.size());
  for (const auto& [name, benchmark] : kBenchmarks) {
    names.emplace_back(name);
  }
  return names;
}

void run_benchmark(std::string_view name, Device& device, World& world, double effort,
                   std::ostream& out) {
  for (const auto& [row, benchmark] : kBenchmarks) {
    if (row == name) {
      benchmark(device, world, effort, out);
      return;
    }
  }
  throw InternalError("no such benchmark: " + std::string(name));
}

}  // namespace foretrain::trainer
