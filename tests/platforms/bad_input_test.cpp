// SPDX-License-Identifier: Apache-2.0
// What a user reads after a mistake in a platform file: the whole text, position and remedy.
#include <string>
#include <string_view>

#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::string gpu_error(std::string_view from, std::string_view to) {
  return error_of([&] { return gpu_from(spoilt(kGpuFile, from, to)); });
}

std::string cluster_error(std::string_view from, std::string_view to) {
  return error_of([&] { return cluster_from(spoilt(kClusterFile, from, to)); });
}

TEST_CASE("the unspoilt examples are accepted", "[platforms]") {
  CHECK(error_of([] { return gpu_from(std::string(kGpuFile)); }).empty());
  CHECK(error_of([] { return cluster_from(std::string(kClusterFile)); }).empty());
}

TEST_CASE("a mistyped key of a GPU is missing under one name and unknown under the other",
          "[platforms]") {
  CHECK(gpu_error("memory = \"80 GB\"", "memroy = \"80 GB\"") ==
        R"(gpu.toml: missing key 'memory' (a size such as "80 GB")
gpu.toml:3:1: unknown key 'memroy'; did you mean 'memory'?
  memroy = "80 GB"
  ^)");
}

TEST_CASE("a rate needs a unit, the unit of a rate, and a value", "[platforms]") {
  CHECK(
      gpu_error("\"2 TB/s\"", "2000") ==
      R"(gpu.toml:4:15: memory_rate: expected a rate such as "3.35 TB/s", got 2000 (a number without a unit)
  memory_rate = 2000
                ^)");
  CHECK(
      gpu_error("\"2 TB/s\"", "\"2 TB\"") ==
      R"(gpu.toml:4:15: memory_rate: expected a rate such as "3.35 TB/s", got "2 TB" (a size, not a rate)
  memory_rate = "2 TB"
                ^)");
  CHECK(gpu_error("\"2 TB/s\"", "\"0 TB/s\"") ==
        R"(gpu.toml:4:15: memory_rate: expected a rate greater than zero
  memory_rate = "0 TB/s"
                ^)");
}

TEST_CASE("counts and shares out of range are refused", "[platforms]") {
  CHECK(gpu_error("sms = 100", "sms = 0") ==
        R"(gpu.toml:5:7: sms: expected a whole number from 1 to 10000, got 0
  sms = 0
        ^)");
  CHECK(gpu_error("efficiency = 0.75", "efficiency = 75") ==
        R"(gpu.toml:15:14: gemm.fp16.efficiency: expected a number from 0.01 to 1.0, got 75.0
  efficiency = 75
               ^)");
  CHECK(gpu_error("bandwidth = 0.8\n", "bandwidth = 0.8\nk_fill = -3\n") ==
        R"(gpu.toml:17:10: gemm.fp16.k_fill: expected a number of elements, at least 0
  k_fill = -3
           ^)");
  CHECK(gpu_error("bandwidth = 0.8\n", "bandwidth = 0.8\noccupancy = -3\n") ==
        R"(gpu.toml:17:13: gemm.fp16.occupancy: expected a number of tiles per SM, at least 0
  occupancy = -3
              ^)");
}

TEST_CASE("a GEMM fit without the peak that it is a share of is refused", "[platforms]") {
  CHECK(gpu_error("bf16 = \"300 TFLOP/s\"\n", "") ==
        R"(gpu.toml:13:1: gemm: gemm.bf16 needs peak.bf16, of which it is a share
  [gemm.fp16]
  ^)");
}

TEST_CASE("a fit can only be the same as one that the file has", "[platforms]") {
  CHECK(
      gpu_error("same_as = \"fp16\"", "same_as = \"fp8\"") ==
      R"(gpu.toml:20:11: gemm.bf16.same_as: expected a data type that has a fit of its own in this file
  same_as = "fp8"
            ^)");
  CHECK(
      gpu_error("same_as = \"fp16\"", "same_as = \"f16\"") ==
      R"(gpu.toml:20:11: gemm.bf16.same_as: expected one of fp32, tf32, fp16, bf16, fp8, fp4; got 'f16'; did you mean 'fp16'?
  same_as = "f16"
            ^)");
  CHECK(
      gpu_error("same_as = \"fp16\"", "same_as = \"fp16\"\nbasis = \"measured\"") ==
      R"(gpu.toml:21:9: gemm.bf16.basis: a fit that is the same as another is transferred: leave out the basis
  basis = "measured"
          ^)");
  CHECK(gpu_error("source = \"one rate\"\n", "") ==
        R"(gpu.toml:19:1: gemm.bf16: missing key 'source' (text in quotes)
  [gemm.bf16]
  ^)");
}

TEST_CASE("a flash kernel has a known name and both directions", "[platforms]") {
  CHECK(gpu_error("[flash.flash2]", "[flash.flash4]") ==
        R"(gpu.toml:26:8: flash: unknown key 'flash4'; did you mean 'flash1'?
  [flash.flash4]
         ^)");
  CHECK(gpu_error("backward = 0.4\n", "") ==
        R"(gpu.toml:26:1: flash.flash2: missing key 'backward' (a number)
  [flash.flash2]
  ^)");
}

TEST_CASE("every class of memory-bound kernel needs its share", "[platforms]") {
  CHECK(gpu_error("gather = 0.15\n", "") ==
        R"(gpu.toml:32:1: memory_bound: missing key 'gather' (a number)
  [memory_bound]
  ^)");
}

TEST_CASE("a basis is one of five words", "[platforms]") {
  CHECK(
      gpu_error("gather = 0.15", "gather = { value = 0.15, basis = \"guessed\" }") ==
      R"(gpu.toml:38:34: memory_bound.gather.basis: expected one of datasheet, measured, fitted, transferred, assumed; got 'guessed'
  gather = { value = 0.15, basis = "guessed" }
                                   ^)");
}

TEST_CASE("a topology is one of those that fit the place", "[platforms]") {
  CHECK(
      cluster_error("\"nvswitch\"", "\"nvswtch\"") ==
      R"(cluster.toml:10:12: node.topology: expected one of nvswitch, full_mesh, hybrid_cube_mesh, pcie_tree, wired; got 'nvswtch'; did you mean 'nvswitch'?
  topology = "nvswtch"
             ^)");
  CHECK(
      cluster_error("\"non_blocking\"", "\"nvswitch\"") ==
      R"(cluster.toml:19:12: fabric.topology: expected one of non_blocking, single_switch, fat_tree, dragonfly, torus; got 'nvswitch'
  topology = "nvswitch"
             ^)");
}

TEST_CASE("a cluster's GPU is a name or a file beside it", "[platforms]") {
  CHECK(cluster_error("\"a100-sxm4-80gb\"", "\"a100-sxm5-80gb\"") ==
        R"(cluster.toml:3:7: gpu: no GPU is called 'a100-sxm5-80gb'; did you mean 'a100-sxm4-80gb'?
  gpu = "a100-sxm5-80gb"
        ^)");
  CHECK(cluster_error("\"a100-sxm4-80gb\"", "\"mine/a100.toml\"") ==
        R"(cluster.toml:3:7: gpu: there is no file 'mine/a100.toml'
  gpu = "mine/a100.toml"
        ^)");
}

TEST_CASE("counts of a cluster that contradict each other name both sides", "[platforms]") {
  CHECK(
      cluster_error("nics_per_node = 4", "nics_per_node = 16") ==
      R"(cluster.toml:5:17: nics_per_node: 16 > gpus_per_node 8, but a GPU uses one NIC: count the NICs of one GPU as one, with their summed rate
  nics_per_node = 16
                  ^)");
  CHECK(cluster_error("\nnodes = 2", "\nnodes = 5") ==
        R"(cluster.toml:6:9: nodes: 5 > max_nodes 4
  nodes = 5
          ^)");
}

TEST_CASE("what steps cost is said once: as a multiple of NCCL's latencies or as a time",
          "[platforms]") {
  CHECK(cluster_error("hop_latency = \"2 us\"\n", "") ==
        R"(cluster.toml:9:1: node: missing key 'latency_multiplier' (a number)
  [node]
  ^)");
  CHECK(cluster_error("hop_latency = \"2 us\"\n", "latency_multiplier = 1.5\n").empty());
  CHECK(cluster_error("hop_latency = \"2 us\"\n",
                      "hop_latency = \"2 us\"\nlatency_multiplier = 1.5\n")
            .find("node.hop_latency: stands beside latency_multiplier") != std::string::npos);
  CHECK(cluster_error("hop_latency = \"2 us\"\n", "latency_multiplier = 0\n")
            .find("latency_multiplier: expected a number from 0.01 to 100") != std::string::npos);
  CHECK(cluster_error("half_rate_payload = \"1 KiB\"", "half_rate_payload = \"1 us\"")
            .find("half_rate_payload: expected a size") != std::string::npos);
}

TEST_CASE("a cluster names a library that there is", "[platforms]") {
  CHECK(cluster_error("nodes = 2\n", "nodes = 2\ncollectives = \"rccl\"\n").empty());
  CHECK(cluster_error("nodes = 2\n", "nodes = 2\ncollectives = \"ncll\"\n")
            .find("did you mean 'nccl'") != std::string::npos);
}

TEST_CASE("all mistakes of a cluster are reported at once, in the order of the file",
          "[platforms]") {
  std::string text = spoilt(kClusterFile, "\"300 GB/s\"", "\"0 GB/s\"");
  text = spoilt(text, "achieved = 0.9", "achived = 0.9");
  text = spoilt(text, "\"a100-sxm4-80gb\"", "\"a100-sxm5-80gb\"");
  CHECK(error_of([&] { return cluster_from(text); }) ==
        R"(cluster.toml:3:7: gpu: no GPU is called 'a100-sxm5-80gb'; did you mean 'a100-sxm4-80gb'?
  gpu = "a100-sxm5-80gb"
        ^
cluster.toml:11:8: node.rate: expected a rate greater than zero
  rate = "0 GB/s"
         ^
cluster.toml:18:1: fabric: missing key 'achieved' (a number)
  [fabric]
  ^
cluster.toml:21:1: fabric: unknown key 'achived'; did you mean 'achieved'?
  achived = 0.9
  ^)");
}

TEST_CASE("a platform that does not exist is answered with the nearest", "[platforms]") {
  config::Sources sources;
  CHECK(error_of([&] { return load_cluster(sources, "dgx-a100-40g", kPlatforms); }) ==
        "no cluster is called 'dgx-a100-40g'; did you mean 'dgx-a100-40gb'?");
  CHECK(error_of([&] { return load_gpu(sources, "h100-sxm-80gb", kPlatforms); }) ==
        "no GPU is called 'h100-sxm-80gb'; did you mean 'h100-sxm5-80gb'?");
}

TEST_CASE("only a fabric has a hop of its own inside nodes", "[platforms]") {
  const std::string hop = "hop_latency = \"2 us\"\n";
  CHECK(cluster_error(hop, hop + "node_hop_latency = \"6 us\"\n")
            .find("unknown key 'node_hop_latency'") != std::string::npos);
  const std::string of_fabric = "hop_latency = \"9 us\"\n";
  CHECK(cluster_error(of_fabric, of_fabric + "node_hop_latency = \"6 us\"\n").empty());
  CHECK(cluster_error(of_fabric, of_fabric + "node_hop_latency = \"6 GB\"\n")
            .find("node_hop_latency: expected a time") != std::string::npos);
}

TEST_CASE("only the switch of a node adds up, and not beyond its rate", "[platforms]") {
  const std::string of_node = "hop_latency = \"2 us\"\n";
  CHECK(cluster_error(of_node, of_node + "in_switch_reduction = 0.7\n").empty());
  CHECK(cluster_error(of_node, of_node + "in_switch_reduction = 1.7\n")
            .find("in_switch_reduction: expected a number from 0.01 to 1") != std::string::npos);
  const std::string of_fabric = "hop_latency = \"9 us\"\n";
  CHECK(cluster_error(of_fabric, of_fabric + "in_switch_reduction = 0.7\n")
            .find("unknown key 'in_switch_reduction'") != std::string::npos);
}

TEST_CASE("what communication takes of computing is optional, has a source and leaves something",
          "[platforms]") {
  const std::string hop = "hop_latency = \"2 us\"\n";
  CHECK(cluster_error(hop, hop + "compute_share = { value = 0.1, source = \"x\" }\n").empty());
  CHECK(cluster_error(hop, hop + "compute_share = { value = 1, source = \"x\" }\n")
            .find("node.compute_share: expected a number from 0.0 to 0.9, got 1.0") !=
        std::string::npos);
  const std::string of_fabric = "hop_latency = \"9 us\"\n";
  CHECK(cluster_error(of_fabric, of_fabric + "compute_share = { value = -1, source = \"x\" }\n")
            .find("fabric.compute_share: expected a number from 0.0 to 0.9, got -1.0") !=
        std::string::npos);
}

TEST_CASE("a sustained level out of range is refused", "[platforms]") {
  CHECK(cluster_error("nodes = 2\n", "nodes = 2\nsustained = 91\n")
            .find("cluster.toml:7:13: sustained: expected a number from 0.1 to 1.3, got 91.0") !=
        std::string::npos);
}

}  // namespace
}  // namespace foretrain::testing
