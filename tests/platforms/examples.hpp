// A small GPU file and a small cluster file that are right, to be spoilt in one place by each test.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "platforms/cluster.hpp"
#include "sim/config/value.hpp"

namespace foretrain::testing {

inline const std::string kPlatforms = std::string(FORETRAIN_SOURCE_DIR) + "/platforms";

inline constexpr std::string_view kGpuFile = R"(name = "Test GPU"
source = "a test"
memory = "80 GB"
memory_rate = "2 TB/s"
sms = 100
weight_gradient = 0.95
grouped_floor = "3 us"
generation = "ampere"

[peak]
fp16 = "300 TFLOP/s"
bf16 = "300 TFLOP/s"

[gemm.fp16]
efficiency = 0.75
bandwidth = 0.8
floor = "4 us"

[gemm.bf16]
same_as = "fp16"
source = "one rate"

[flash]
floor = "5 us"

[flash.flash2]
forward = 0.5
forward_tail = 1.2
backward = 0.4
backward_tail = 0.7

[memory_bound]
floor = "2 us"
streaming = 0.85
norm = 0.62
softmax = 0.6
rotary = 0.43
gather = 0.15
)";

inline constexpr std::string_view kClusterFile = R"(name = "Test cluster"
source = "a test"
gpu = "a100-sxm4-80gb"
gpus_per_node = 8
nics_per_node = 4
nodes = 2
max_nodes = 4

[node]
topology = "nvswitch"
rate = "300 GB/s"
achieved = 0.8
collective_latency = "12 us"
hop_latency = "2 us"
point_to_point_latency = "12 us"
half_rate_payload = "1 KiB"

[fabric]
topology = "non_blocking"
rate = "200 Gb/s"
achieved = 0.9
collective_latency = "12 us"
hop_latency = "9 us"
point_to_point_latency = "20 us"
)";

/// Keys that each node topology needs besides those of every [node], for kClusterFile's 8 GPUs and
/// 4 NICs; none for those that have no keys.
inline std::string node_keys(std::string_view topology) {
  if (topology == "pcie_tree") {
    return R"(sockets = 2
switches_per_socket = 2
socket_rate = "20 GB/s"
switch_uplink_rate = "30 GB/s"
nvlink_pairs = 2
pair_rate = "50 GB/s"
)";
  }
  if (topology == "wired") {
    return R"(cpus = 2
links = [
  { between = "gpu 0-3", and = "gpu 0-3", rate = "50 GB/s" },
  { between = "gpu 4-7", and = "gpu 4-7", rate = "50 GB/s" },
  { between = "gpu 0-3", and = "cpu 0", rate = "30 GB/s" },
  { between = "gpu 4-7", and = "cpu 1", rate = "30 GB/s" },
  { between = "cpu 0", and = "cpu 1", rate = "60 GB/s" },
  { between = "nic 0-1", and = "cpu 0", rate = "25 GB/s" },
  { between = "nic 2,3", and = "cpu 1", rate = "25 GB/s" },
]
)";
  }
  return "";
}

/// `text` with its one `from` replaced by `to`.
inline std::string spoilt(std::string_view text, std::string_view from, std::string_view to) {
  std::string result(text);
  const std::size_t at = result.find(from);
  if (at == std::string::npos || result.find(from, at + 1) != std::string::npos) {
    throw InternalError("expected exactly one '" + std::string(from) + "'");
  }
  return result.replace(at, from.size(), to);
}

/// kClusterFile with this node topology.
inline std::string cluster_file_with(const std::string& topology) {
  return spoilt(kClusterFile, "topology = \"nvswitch\"\n",
                "topology = \"" + topology + "\"\n" + node_keys(topology));
}

inline Gpu gpu_from(const std::string& text) {
  config::Sources sources;
  const config::Value root = config::parse_toml(sources, "gpu.toml", text);
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  Gpu gpu = read_gpu(reader);
  diagnostics.throw_if_any();
  return gpu;
}

inline Cluster cluster_from(const std::string& text) {
  config::Sources sources;
  const config::Value root = config::parse_toml(sources, "cluster.toml", text);
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  Cluster cluster = read_cluster(reader, sources, kPlatforms);
  diagnostics.throw_if_any();
  return cluster;
}

/// Two nodes of kClusterFile with this node topology.
inline std::unique_ptr<Machine> machine_with(const std::string& topology) {
  return build_machine(cluster_from(cluster_file_with(topology)), 2);
}

/// The whole text of the ConfigError that reading throws; empty when it accepts.
template <class Read>
std::string error_of(Read read) {
  try {
    static_cast<void>(read());
    return "";
  } catch (const ConfigError& error) {
    return error.what();
  }
}

}  // namespace foretrain::testing
