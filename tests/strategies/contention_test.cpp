// SPDX-License-Identifier: Apache-2.0
// Traffic that meets on a link shares it, and nobody says so but the links: max-min shares worked
// out by hand, played on machines whose latencies are zero.
#include <string>
#include <vector>

#include "sim/study/simulate.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

// Eight GPUs and four NICs of 10 GB/s a node: GPUs 0 and 1 of a node share its NIC 0.
Cluster still_cluster() {
  Cluster cluster = small_cluster(8, 4);
  for (Interconnect* way : {&cluster.node, &cluster.fabric}) {
    way->collective_latency.value = Seconds(0);
    way->hop_latency->value = Seconds(0);
    way->point_to_point_latency.value = Seconds(0);
  }
  return cluster;
}

std::shared_ptr<const FabricWiring> fat_tree(const std::string& levels) {
  config::Sources sources;
  const config::Value root =
      config::parse_toml(sources, "fabric.toml", "source = 'a test'\nlevels = [" + levels + "]");
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  auto wiring = read_fat_tree(reader);
  diagnostics.throw_if_any();
  return wiring;
}

std::string leaf_of_two(const std::string& oversubscription) {
  return "{ name = 'leaf', nodes = 2, oversubscription = " + oversubscription + " }";
}

/// Messages and ring all-reduces that all start at once, each in a stream of its own.
class Traffic {
 public:
  explicit Traffic(const Machine& machine) : machine_(machine), maker_(machine.num_devices()) {}

  Traffic& message(std::size_t from, std::size_t to, Bytes payload) {
    const std::uint32_t channel = next_++;
    maker_.op(from, Send{static_cast<std::uint32_t>(to), channel, payload}, Phase::forward,
              stream_of(from));
    maker_.op(to, Recv{static_cast<std::uint32_t>(from), channel, payload}, Phase::forward,
              stream_of(to));
    return *this;
  }

  Traffic& all_reduce(const std::vector<std::size_t>& members, Bytes payload) {
    std::vector<Rank> ranks;
    for (const std::size_t member : members) {
      ranks.push_back(Rank(member));
    }
    const GroupId group = maker_.group(ranks);
    for (const std::size_t member : members) {
      std::vector<GroupId>& slots = maker_.program().ranks[member].communicators;
      slots.push_back(group);
      maker_.op(member,
                Collective{CollectiveKind::all_reduce, static_cast<std::uint32_t>(slots.size() - 1),
                           payload},
                Phase::forward, stream_of(member));
    }
    return *this;
  }

  /// When the streams of a rank end, in ms, in the order in which they were asked for.
  std::vector<double> ends_of(std::size_t rank) {
    const Timeline timeline = play(maker_.program(), CollectiveCosts(machine_, ring));
    std::vector<double> ends;
    for (std::size_t stream = 1; stream < timeline.ranks[rank].size(); ++stream) {
      ends.push_back(timeline.ranks[rank][stream].back().end.value * 1e3);
    }
    return ends;
  }

 private:
  // Stream 0 is the compute stream and stays empty.
  std::size_t stream_of(std::size_t rank) {
    return maker_.program().body_of(Rank(rank)).streams.size();
  }

  const Machine& machine_;
  ProgramMaker maker_;
  std::uint32_t next_ = 0;
};

}  // namespace

TEST_CASE("two GPUs behind one NIC get half of it each, and the rest when one is done",
          "[contention]") {
  const Machine machine(still_cluster(), 2);
  // 5 GB/s each until 10 MB have gone at 2 ms; the other's remaining 20 MB then have 10 GB/s.
  Traffic traffic(machine);
  traffic.message(0, 10, 10_MB).message(1, 12, 30_MB);
  CHECK_THAT(traffic.ends_of(0).at(0), WithinRel(2.0, 1e-9));
  CHECK_THAT(traffic.ends_of(1).at(0), WithinRel(4.0, 1e-9));
}

TEST_CASE("data, pipeline and expert traffic of one NIC get a third each", "[contention]") {
  const Machine machine(still_cluster(), 4);
  // A ring of two carries 2 * 1/2 of its payload over each link, so all three send 10 MB from
  // node 0's NIC 0, which is 10 GB/s: 3 ms instead of 1.
  Traffic traffic(machine);
  traffic.all_reduce({0, 8}, 10_MB).message(0, 16, 10_MB).message(0, 26, 10_MB);
  const std::vector<double> ends = traffic.ends_of(0);
  REQUIRE(ends.size() == 3);
  for (const double end : ends) {
    CHECK_THAT(end, WithinRel(3.0, 1e-9));
  }
  Traffic alone(machine);
  alone.all_reduce({0, 8}, 10_MB);
  CHECK_THAT(alone.ends_of(0).at(0), WithinRel(1.0, 1e-9));
}

TEST_CASE("rings of two jobs share the spine link that both cross", "[contention]") {
  Cluster cluster = still_cluster();
  // A leaf's two nodes have 8 NICs of 10 GB/s: oversubscribed 8 to 1 it has 10 GB/s up.
  cluster.fabric_wiring = fat_tree(leaf_of_two("8"));
  const Machine machine(cluster, 4);
  Traffic both(machine);
  both.all_reduce({0, 16}, 10_MB).all_reduce({8, 24}, 10_MB);
  CHECK_THAT(both.ends_of(0).at(0), WithinRel(2.0, 1e-9));
  CHECK_THAT(both.ends_of(8).at(0), WithinRel(2.0, 1e-9));
  Traffic inside(machine);
  inside.all_reduce({0, 8}, 10_MB).all_reduce({16, 24}, 10_MB);
  CHECK_THAT(inside.ends_of(0).at(0), WithinRel(1.0, 1e-9));
}

TEST_CASE("what an oversubscribed leaf leaves of a NIC goes to traffic that stays below it",
          "[contention]") {
  Cluster cluster = still_cluster();
  cluster.fabric_wiring = fat_tree(leaf_of_two("20"));  // 80 GB/s over 20: 4 GB/s up
  const Machine machine(cluster, 4);
  // Two messages climb and get 2 GB/s each. One of them shares its NIC with a third that stays in
  // the leaf and takes the other 8 GB/s. All end together, after 1 ms.
  Traffic traffic(machine);
  traffic.message(0, 16, 2_MB).message(10, 26, 2_MB).message(1, 8, 8_MB);
  CHECK_THAT(traffic.ends_of(0).at(0), WithinRel(1.0, 1e-9));
  CHECK_THAT(traffic.ends_of(10).at(0), WithinRel(1.0, 1e-9));
  CHECK_THAT(traffic.ends_of(1).at(0), WithinRel(1.0, 1e-9));
}

TEST_CASE("a pipeline message inside a node does not meet the rings between nodes",
          "[contention]") {
  const Machine machine(still_cluster(), 2);
  Traffic traffic(machine);
  traffic.all_reduce({0, 8}, 10_MB).message(0, 1, 100_MB);
  CHECK_THAT(traffic.ends_of(0).at(0), WithinRel(1.0, 1e-9));
  CHECK_THAT(traffic.ends_of(0).at(1), WithinRel(1.0, 1e-9));  // 100 MB at 100 GB/s
}

TEST_CASE("oversubscription lengthens the step of a plan that crosses it, and of no other",
          "[contention]") {
  const auto step = [](const std::string& oversubscription, std::int64_t data) {
    Run run = small_run(4, 1, data);
    run.stack.bucket.value = 1_GB;
    run.cluster.fabric_wiring = fat_tree(leaf_of_two(oversubscription));
    return simulate(run).prediction.step_time;
  };
  // Two replicas are two nodes of one leaf; four cross the spine.
  CHECK(step("1", 2) == step("50", 2));
  CHECK(step("1", 4) < step("50", 4));
}

}  // namespace foretrain::testing
