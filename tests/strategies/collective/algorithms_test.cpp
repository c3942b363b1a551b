// Times of the algorithms by hand, alone on a machine: 100 GB/s per GPU, 80 GB/s of them while the
// switch adds up, 10 GB/s per NIC; 10 us and 1 us per step inside a node, 20 us and 5 us per step
// between nodes (1 us for their steps inside).
// SPDX-License-Identifier: Apache-2.0
#include <numeric>

#include "strategies/collective/nccl.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/strategies/collective/holdings.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/hand_times.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr CollectiveKind kGather = CollectiveKind::all_gather;
constexpr CollectiveKind kScatter = CollectiveKind::reduce_scatter;
constexpr CollectiveKind kAllToAll = CollectiveKind::all_to_all;

double time_by(std::string_view algorithm, CollectiveKind kind, Bytes payload,
               const std::vector<std::size_t>& members, std::int64_t nics = 4) {
  const auto machine = build_machine(switching_cluster(8, nics), 4);
  return time_of({kind, payload, devices(members)}, *machine,
                 collective_algorithm(algorithm).lower);
}

std::string reason(std::string_view algorithm, CollectiveKind kind,
                   const std::vector<std::size_t>& members) {
  const auto machine = build_machine(small_cluster(8, 4), 4);
  return why_not(collective_algorithm(algorithm), {kind, 1_MB, devices(members)}, *machine)
      .value_or("");
}

}  // namespace

TEST_CASE("a switch that adds up moves 1 + 1/n of the payload through each port", "[collective]") {
  // n = 4, 8 MB: 10 us + a hop + 10 MB / 80 GB/s = 125 us. A ring takes 12 MB / 100 GB/s.
  CHECK_THAT(time_by("nvls", kReduce, 8_MB, {0, 1, 2, 3}), WithinRel(136e-6, kTolerance));
  // A gather hands out all 8 MB, a scatter sends all up: 10 us + a hop + 8 MB / 80 GB/s.
  CHECK_THAT(time_by("nvls", kGather, 8_MB, {0, 1, 2, 3}), WithinRel(111e-6, kTolerance));
  CHECK_THAT(time_by("nvls", kScatter, 8_MB, {0, 1, 2, 3}), WithinRel(111e-6, kTolerance));
}

TEST_CASE("levels of a hierarchical collective follow one another", "[collective]") {
  // g = 2 on NICs of their own, k = 3, 12 MB: 20 us; inside 1 us + 6 MB / 100 GB/s = 61 us; between
  // 2 * 2 * 5 us + 2 * 2/3 * 6 MB / 10 GB/s = 820 us; inside 61 us.
  const std::vector<std::size_t> members = {0, 4, 8, 12, 16, 20};
  CHECK_THAT(time_by("hierarchical", kReduce, 12_MB, members), WithinRel(962e-6, kTolerance));
  // A gather or scatter goes round the rails once: 20 + 61 + 410 us.
  CHECK_THAT(time_by("hierarchical", kGather, 12_MB, members), WithinRel(491e-6, kTolerance));
  CHECK_THAT(time_by("hierarchical", kScatter, 12_MB, members), WithinRel(491e-6, kTolerance));
  // With one NIC for both rails the 820 us become 20 us + 8 MB / 5 GB/s = 1620 us.
  CHECK_THAT(time_by("hierarchical", kReduce, 12_MB, members, 1), WithinRel(1762e-6, kTolerance));
}

TEST_CASE("an in-switch reduction with trees ends with its slower part", "[collective]") {
  // g = 2, k = 2, two NICs, 8 MB: 20 us + 1 us + 2 * 5 us. A NIC has 2/2 * 1/2 of the payload,
  // 4 MB / 10 GB/s = 400 us; a port 12 MB / 80 GB/s = 150 us meanwhile.
  CHECK_THAT(time_by("nvls-tree", kReduce, 8_MB, {0, 4, 8, 12}), WithinRel(431e-6, kTolerance));
}

TEST_CASE("aggregated trees take the logarithm of the group in steps", "[collective]") {
  // n = 4 on four nodes, 4 MB: 20 us + 2 * 5 us; 1/4 and then 2/4 of the payload, 300 us in all.
  for (const CollectiveKind kind : {kGather, kScatter}) {
    CHECK_THAT(time_by("pat", kind, 4_MB, {0, 8, 16, 24}), WithinRel(330e-6, kTolerance));
  }
  // n = 3 inside a node, 3 MB: two steps of one chunk, 10 us + 2 * (1 us + 1 MB / 100 GB/s).
  CHECK_THAT(time_by("pat", kGather, 3_MB, {0, 1, 2}), WithinRel(32e-6, kTolerance));
}

TEST_CASE("halving and doubling sends far what is small", "[collective]") {
  // Two members on each of two nodes, 4 MB: halves between neighbours inside, 1 us + 2 MB / 100
  // GB/s; quarters between nodes, over NICs of their own, 5 us + 1 MB / 10 GB/s; and back: 20 + 2 *
  // 126 us.
  CHECK_THAT(time_by("halving-doubling", kReduce, 4_MB, {0, 4, 8, 12}),
             WithinRel(272e-6, kTolerance));
  // One NIC for both: 1 MB at 5 GB/s.
  CHECK_THAT(time_by("halving-doubling", kReduce, 4_MB, {0, 4, 8, 12}, 1),
             WithinRel(472e-6, kTolerance));
  // n = 3, 4 MB inside a node: fold, exchange halves twice, give back: 10 us + 4 steps, and
  // 4 + 2 + 2 + 4 MB at 100 GB/s.
  CHECK_THAT(time_by("halving-doubling", kReduce, 4_MB, {0, 1, 2}), WithinRel(134e-6, kTolerance));
}

TEST_CASE("a pipeline along the ring and a binomial tree broadcast alike when read backwards",
          "[collective]") {
  for (const CollectiveKind kind : {CollectiveKind::broadcast, CollectiveKind::reduce}) {
    // n = 4 inside a node, 4 MB: 10 us + 3 steps + 4 MB / 100 GB/s, or two steps of all 4 MB.
    CHECK_THAT(time_by("ring", kind, 4_MB, {0, 1, 2, 3}), WithinRel(53e-6, kTolerance));
    CHECK_THAT(time_by("binomial", kind, 4_MB, {0, 1, 2, 3}), WithinRel(92e-6, kTolerance));
    // Two nodes, two members behind two NICs each, 4 MB in two pipelines of 2 MB at 10 GB/s: 20 us
    // + 2 * 1 us + 5 us. Binomial: 5 us + 4 MB / 10 GB/s, then inside 1 us + 40 us.
    CHECK_THAT(time_by("ring", kind, 4_MB, {0, 4, 8, 12}), WithinRel(227e-6, kTolerance));
    CHECK_THAT(time_by("binomial", kind, 4_MB, {0, 4, 8, 12}), WithinRel(466e-6, kTolerance));
  }
}

TEST_CASE("an all-to-all between nodes is as long as what a NIC has to send", "[collective]") {
  // n = 4 inside a node: 10 us + a hop + 3/4 * 4 MB / 100 GB/s.
  CHECK_THAT(time_by("pairwise", kAllToAll, 4_MB, {0, 1, 2, 3}), WithinRel(41e-6, kTolerance));
  // Two members on two nodes each: half of 4 MB leaves each GPU on its own NIC, 200 us; 20 us + one
  // network hop.
  CHECK_THAT(time_by("pairwise", kAllToAll, 4_MB, {0, 4, 8, 12}), WithinRel(225e-6, kTolerance));
  // In levels: 20 us + 1 us + 2 MB / 100 GB/s, then 5 us + 2 MB / 10 GB/s.
  CHECK_THAT(time_by("hierarchical-all-to-all", kAllToAll, 4_MB, {0, 4, 8, 12}),
             WithinRel(246e-6, kTolerance));
}

TEST_CASE("an algorithm says why it cannot serve a group", "[collective]") {
  CHECK(reason("ring", kAllToAll, {0, 1}) ==
        "it carries out all_reduce, all_gather, reduce_scatter, broadcast, reduce only");
  CHECK(reason("hierarchical", kReduce, {0, 1}) == "the group is within one node");
  CHECK(reason("hierarchical", kReduce, {0, 1, 2, 8}) ==
        "the group has 1 members on one node and 3 on another");
  CHECK(reason("nvls", kReduce, {0, 8}) ==
        "the group spans 2 nodes, but one switch has to reach all members");
  CHECK(reason("nvls", kReduce, {0, 1}) == "platform 'small' has no node.in_switch_reduction");
  CHECK(reason("nvls-tree", kReduce, {0, 8}) ==
        "the group has one member per node, which leaves the switch nothing to add");
  CHECK(reason("nvls-tree", kReduce, {0, 1, 8, 9}) ==
        "platform 'small' has no node.in_switch_reduction");
}

TEST_CASE("by default the quickest of what NCCL would consider carries out a collective",
          "[collective]") {
  const auto machine = build_machine(switching_cluster(8, 4), 4);
  for (const std::vector<std::size_t>& members :
       {std::vector<std::size_t>{0, 1, 2, 3}, {0, 8, 16, 24}, {0, 4, 8, 12}}) {
    for (const CollectiveKind kind : kCollectiveKinds) {
      INFO(name_of(kind) << " of " << members.size());
      const CollectiveRequest request{kind, 1_MB, devices(members)};
      const double chosen = time_of(request, *machine, quickest);
      double least = 1;
      for (const Candidate& candidate : candidates(CollectiveLibrary::nccl)) {
        const CollectiveAlgorithm& algorithm = collective_algorithm(candidate.algorithm);
        const bool is_barred = candidate.is_one_per_node && members[1] < 8;
        if (candidate.kinds.contains(kind) && !why_not(algorithm, request, *machine) &&
            !is_barred) {
          least = std::min(least, time_of(request, *machine, algorithm.lower));
        }
      }
      CHECK_THAT(chosen, WithinRel(least, 1e-9));
    }
  }
}

TEST_CASE("flows of large groups grow with their members, not with their pairs", "[collective]") {
  const auto machine = build_machine(switching_cluster(8, 8), 2048);
  std::vector<std::size_t> all(16384);
  std::iota(all.begin(), all.end(), std::size_t{0});
  for (const CollectiveKind kind : kCollectiveKinds) {
    const CollectiveRequest request{kind, 1_GiB, devices(all)};
    for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
      if (why_not(algorithm, request, *machine)) {
        continue;
      }
      INFO(algorithm.name << ", " << name_of(kind));
      std::size_t flows = 0;
      std::size_t links = 0;
      const FlowSchedule schedule = algorithm.lower(request, *machine);
      for (const FlowPhase& phase : schedule.phases) {
        flows += phase.flows.size();
        for (const Flow& flow : phase.flows) {
          links += flow.links.size();
        }
      }
      // At most 2 log2(n) steps, each over two links per member.
      CHECK(flows <= 32);
      CHECK(links <= std::size_t{28} * 2 * all.size());
    }
  }
}

TEST_CASE("an all-to-all of many members carries what a smaller one does per rank",
          "[collective]") {
  // 1,024 members are above the number whose pairs are all looked up. Of 128 nodes of 8, a port has
  // 7/1024 of the payload and a NIC 1016/1024.
  const auto machine = build_machine(switching_cluster(8, 8), 128);
  std::vector<std::size_t> all(1024);
  std::iota(all.begin(), all.end(), std::size_t{0});
  const std::vector<double> bytes =
      bytes_by_link(pairwise({kAllToAll, 1024_MB, devices(all)}, *machine), *machine);
  for (std::size_t link = 0; link < bytes.size(); ++link) {
    const std::string& name = machine->network().links[link].name;
    INFO(name);
    const bool is_nic = name.find(" nic ") != std::string::npos;
    CHECK_THAT(bytes[link], WithinRel(is_nic ? 1016e6 : 7e6, kTolerance));
  }
}

}  // namespace foretrain::testing
