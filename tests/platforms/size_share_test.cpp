// SPDX-License-Identifier: Apache-2.0
// The mid-size efficiency of links, and whether the shipped curves give back what was measured.
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/config/catalogue.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;

struct Measurement {
  Bytes payload;
  Seconds time;
};

// A ring all-reduce of n = 8 GPUs: 14 steps, and 2 (n - 1) / n = 1.75 of the payload on each link.
Seconds all_reduce_of_8(const Interconnect& node, Bytes payload) {
  const BytesPerSecond rate = node.rate.value * (node.achieved.value * node.share_at(payload));
  return node.collective_latency.value + node.hop_latency.value * 14.0 + payload * 1.75 / rate;
}

void check_against(const std::string& cluster, const std::vector<Measurement>& measured,
                   double tolerance) {
  config::Sources sources;
  const Interconnect node = load_cluster(sources, cluster, kPlatforms).node;
  for (const Measurement& each : measured) {
    INFO(cluster << " " << config::show(each.payload));
    CHECK_THAT(all_reduce_of_8(node, each.payload) / each.time, WithinRel(1.0, tolerance));
  }
}

TEST_CASE("a share is interpolated over the logarithm of the payload", "[platforms]") {
  // 4 MiB lies half-way between 1 and 16 MiB in doublings: (0.5 + 1.0) / 2.
  const Interconnect node = cluster_from(std::string(kClusterFile)).node;
  CHECK_THAT(node.share_at(4_MiB), WithinRel(0.75, 1e-9));
  CHECK(node.share_at(1_MiB) == 0.5);
  CHECK(node.share_at(16_MiB) == 1.0);
}

TEST_CASE("a share is constant outside its points, and 1 without any", "[platforms]") {
  const Cluster cluster = cluster_from(std::string(kClusterFile));
  CHECK(cluster.node.share_at(1_B) == 0.5);
  CHECK(cluster.node.share_at(0_B) == 0.5);
  CHECK(cluster.node.share_at(1_GiB) == 1.0);
  CHECK(cluster.fabric.share_at(1_MiB) == 1.0);
}

TEST_CASE("the A100 curve gives back the all-reduce times that it was derived from",
          "[platforms]") {
  // stas00/ml-engineering, nccl-tests on one node of 8 A100.
  const std::vector<Measurement> measured = {
      {16_MiB, Seconds(276.6e-6)},   {32_MiB, Seconds(424.0e-6)},   {64_MiB, Seconds(684.6e-6)},
      {128_MiB, Seconds(1327.6e-6)}, {256_MiB, Seconds(2420.6e-6)}, {512_MiB, Seconds(4218.4e-6)},
      {1_GiB, Seconds(8203.9e-6)},   {16_GiB, Seconds(127997e-6)}};
  check_against("dgx-a100-40gb", measured, 0.03);
  check_against("dgx-a100-80gb", measured, 0.03);
}

TEST_CASE("the H100 curve gives back the all-reduce times that it was derived from",
          "[platforms]") {
  // microsoft/vidur, DGX H100; neighbouring sizes scatter by a tenth.
  check_against("dgx-h100",
                {{Bytes(1900544), 37_us},
                 {Bytes(3768320), 48_us},
                 {Bytes(7503872), 70_us},
                 {Bytes(14974976), 110_us},
                 {Bytes(30015488), 186_us},
                 {Bytes(47579136), 263_us}},
                0.05);
}

TEST_CASE("a larger payload never arrives earlier", "[platforms]") {
  config::Sources sources;
  for (const std::string& name : config::names_in(kPlatforms + "/clusters")) {
    INFO(name);
    const Interconnect node = load_cluster(sources, name, kPlatforms).node;
    for (Bytes payload = 1_KiB; payload < 8_GiB; payload *= 1.1) {
      CHECK(all_reduce_of_8(node, payload * 1.1) > all_reduce_of_8(node, payload));
    }
  }
}

TEST_CASE("inside the node of every cluster a large all-reduce reaches what its file says",
          "[platforms]") {
  for (const std::string& name : config::names_in(kPlatforms + "/clusters")) {
    INFO(name);
    config::Sources sources;
    const Interconnect node = load_cluster(sources, name, kPlatforms).node;
    const double rate = node.rate.value.value;
    const auto bus_bandwidth = [&](Bytes payload) {
      return (payload * 1.75 / all_reduce_of_8(node, payload)).value;
    };
    CHECK_THAT(bus_bandwidth(1_GiB) / (node.achieved.value * rate), WithinRel(1.0, 0.03));
    double before = 0;
    for (Bytes payload = 1_KiB; payload < 16_GiB; payload *= 1.1) {
      INFO(config::show(payload));
      CHECK(bus_bandwidth(payload) > before);
      CHECK(bus_bandwidth(payload) <= rate);
      before = bus_bandwidth(payload);
    }
  }
}

TEST_CASE("the B200 curve gives back the all-reduce times that it was derived from",
          "[platforms]") {
  // stas00/ml-engineering, nccl-tests on one node of 8 B200: bus bandwidths of 255 to 646 GB/s.
  check_against("dgx-b200",
                {{16_MiB, Seconds(115.2e-6)},
                 {32_MiB, Seconds(180.1e-6)},
                 {64_MiB, Seconds(293.2e-6)},
                 {128_MiB, Seconds(413.2e-6)},
                 {256_MiB, Seconds(727.1e-6)}},
                0.03);
}

}  // namespace
}  // namespace foretrain::testing
