// SPDX-License-Identifier: Apache-2.0
#include "validation/live/platform_files.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "platforms/gpu.hpp"
#include "sim/config/text.hpp"
#include "sim/config/value.hpp"
#include "validation/calibrate/tree.hpp"

namespace foretrain::live {

// A peak above the best measured GEMM, so that no shape has to exceed it; only its product with the
// fitted efficiency matters.
constexpr double kPeakAboveBest = 1.1;

std::string gpu_base(const MemoryRates& memory, FlopsPerSecond peak, const std::string& hardware) {
  return fmt::format(R"(# One core of this machine, as foretrain validate --live measured it.
name = "one core"
source = {}
basis = "measured"
generation = "ampere"  # of no consequence: it picks NCCL's tables
memory = {{ value = "4 GiB", basis = "assumed", source = "of no consequence here" }}
memory_rate = "{:.4g} GB/s"
sms = 1
grouped_floor = {{ value = "0 s", basis = "assumed", source = "no experts are trained" }}

[peak]
fp32 = "{:.4g} GFLOP/s"

[flash]
floor = "0 s"

[memory_bound]
floor = "0 s"
streaming = {:.4f}
norm = {:.4f}
softmax = {:.4f}
rotary = {:.4f}
gather = {:.4f}
)",
                     config::toml_string(hardware), memory.stream.value / 1e9,
                     kPeakAboveBest * peak.value / 1e9, memory.streaming, memory.norm,
                     memory.softmax, memory.streaming, memory.gather);
}

std::string gpu_file(const std::string& fitted, const Level& level) {
  config::Sources sources;
  config::Value tree = config::parse_toml(sources, "gpu.toml", fitted);
  validation::put_key(
      tree, "sustained",
      validation::sourced_value(
          validation::value_of(std::clamp(level.sustained, kLeastSustained, kMostSustained)),
          "fitted", "steps of one rank, two at once"));
  return config::to_toml(tree);
}

std::string cluster_base(const LinkFacts& link) {
  const std::string way = fmt::format(R"(rate = "{:.6g} MB/s"
achieved = 0.95
collective_latency = "0 s"
latency_multiplier = 1.0
point_to_point_latency = "{:.4g} us"
)",
                                      link.rate.value / 1e6, link.message_latency.value * 1e6);
  return fmt::format(
      R"(# Two ranks of this machine as nodes, as foretrain validate --live measured them.
name = "two cores, {}"
source = "measured"
basis = "measured"
gpu = "gpu.toml"
gpus_per_node = 1
nics_per_node = 1
nodes = 2
collectives = "gloo"

[node]
topology = "nvswitch"
{}
[fabric]
topology = "non_blocking"
{}compute_share = {:.4f}
)",
      link.name, way, way, link.compute_share);
}

std::string cluster_at(const std::string& fitted, BytesPerSecond rate) {
  config::Sources sources;
  config::Value tree = config::parse_toml(sources, "cluster.toml", fitted);
  for (const std::string part : {"node", "fabric"}) {
    validation::put_key(tree, part + ".rate",
                        validation::value_of(fmt::format("{:.6g} MB/s", rate.value / 1e6)));
  }
  return config::to_toml(tree);
}

std::string stack_file(const MemoryRates& memory, const Level& level) {
  return fmt::format(R"(# validation/trainer on cores and Gloo.
name = "foretrain trainer"
source = "validation/trainer"
basis = "measured"
attention = "flash-2"  # one kernel, as it was measured
dropout = false
fused_activation = true
fused_dropout_add = true
fused_rotary = true
gradient_accumulation = "in-gemm"
overlap_gradients = true
gradient_bucket = "1 MB"  # each layer is one
overlap_tensor_parallel = false
scatter_gather = false
blocking_sends = true
optimizer_bytes_per_parameter = {:.4g}
host_per_step = "0 s"
host_per_micro_batch = "0 s"
host_per_layer = "{:.4g} us"
context = "0 B"
)",
                     std::clamp(memory.optimizer_bytes, 1.0, 1000.0),
                     level.host_per_layer.value * 1e6);
}

}  // namespace foretrain::live
