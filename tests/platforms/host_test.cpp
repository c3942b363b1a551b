// Which links does a copy between a GPU and its host cross, and whom does it share them with?
// SPDX-License-Identifier: Apache-2.0
#include "platforms/host.hpp"

#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

constexpr std::string_view kHost = R"(
[host]
memory = "1 TB"
memory_rate = "300 GB/s"
optimizer_rate = "150 GB/s"
)";
constexpr std::string_view kLinks = R"(link_rate = "25 GB/s"
uplink_rate = "24 GB/s"
gpus_per_uplink = 2
)";

std::string with_host(std::string_view keys) {
  return std::string(kClusterFile) + std::string(kHost) + std::string(keys);
}

std::vector<std::string> names(const Machine& machine, const std::vector<LinkId>& links) {
  std::vector<std::string> names;
  names.reserve(links.size());
  for (const LinkId link : links) {
    names.push_back(machine.network().links[link.index()].name);
  }
  return names;
}

std::vector<std::string> host_route(const Machine& machine, std::size_t device,
                                    CopyDirection direction) {
  std::vector<LinkId> links;
  machine.append_host_route(DeviceId(device), direction, links);
  return names(machine, links);
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a copy crosses the GPU's port, the switch's uplink and the memory", "[platforms]") {
  const Machine machine(cluster_from(with_host(kLinks)), 2);
  REQUIRE(machine.has_hosts());
  CHECK(host_route(machine, 11, CopyDirection::to_host) ==
        Names{"node 1 gpu 3 to host", "node 1 uplink 1 to host", "node 1 memory 0"});
  CHECK(host_route(machine, 11, CopyDirection::to_device) ==
        Names{"node 1 memory 0", "node 1 uplink 1 from host", "node 1 gpu 3 from host"});
  CHECK(host_route(machine, 11, CopyDirection::inside_host) ==
        Names{"node 1 memory 0", "node 1 processors 0"});
}

TEST_CASE("what leaves for a NIC crosses the same port as what leaves for the host",
          "[platforms]") {
  const Machine machine(cluster_from(with_host(kLinks)), 2);
  std::vector<LinkId> links;
  machine.append_route(DeviceId(3), DeviceId(9), links);
  const Names route = names(machine, links);
  CHECK(route.front() == "node 0 gpu 3 to host");
  CHECK(route.back() == "node 1 gpu 1 from host");
  const Machine bare(without_hosts(machine.cluster()), 2);
  CHECK_FALSE(bare.has_hosts());
  links.clear();
  bare.append_route(DeviceId(3), DeviceId(9), links);
  CHECK(links.size() == route.size() - 2);
}

TEST_CASE("memories share size and rates among their own GPUs", "[platforms]") {
  const Machine machine(cluster_from(with_host("link_rate = \"25 GB/s\"\nmemories = 4\n")), 1);
  std::vector<LinkId> links;
  machine.append_host_route(DeviceId(5), CopyDirection::inside_host, links);
  CHECK(names(machine, links) == Names{"node 0 memory 2", "node 0 processors 2"});
  CHECK(machine.network().links[links[0].index()].capacity == 75_GBps);
  CHECK(machine.network().links[links[1].index()].capacity == 37.5_GBps);
}

TEST_CASE("a topology with processors leads to them over its own links", "[platforms]") {
  const std::string pcie = cluster_file_with("pcie_tree") + std::string(kHost);
  const Machine tree(cluster_from(pcie), 1);
  CHECK(host_route(tree, 5, CopyDirection::to_host) ==
        Names{"node 0 gpu 5 to switch 2", "node 0 switch 2 to cpu 1", "node 0 memory 0"});
  CHECK(host_route(tree, 5, CopyDirection::to_device) ==
        Names{"node 0 memory 0", "node 0 cpu 1 to switch 2", "node 0 switch 2 to gpu 5"});
  const Machine wired(cluster_from(cluster_file_with("wired") + std::string(kHost)), 1);
  CHECK(host_route(wired, 2, CopyDirection::to_host) ==
        Names{"node 0 gpu 2 to cpu 0", "node 0 memory 0"});
}

TEST_CASE("a host says what it needs and nothing that has no effect", "[platforms]") {
  const auto error = [](const std::string& text) {
    return error_of([&] { return cluster_from(text); });
  };
  const auto says = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(error(with_host(kLinks)).empty());
  CHECK(says(error(with_host("")), "link_rate"));
  CHECK(says(error(with_host("link_rate = \"0 GB/s\"\n")), "greater than zero"));
  CHECK(says(error(with_host("link_rate = \"9 GB/s\"\nmemories = 3\n")), "does not divide"));
  CHECK(says(error(cluster_file_with("pcie_tree") + std::string(kHost) + std::string(kLinks)),
             "topology pcie_tree has the links"));
  CHECK(says(error(with_host("link_rate = \"9 GB/s\"\ngpus_per_uplink = 2\n")),
             "unknown key 'gpus_per_uplink'"));
}

}  // namespace foretrain::testing
