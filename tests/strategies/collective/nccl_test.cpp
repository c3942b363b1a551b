// Which algorithm and protocol a library chooses: habits that NCCL is known for, on the shipped
// platforms.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/nccl.hpp"

#include <set>

#include "sim/config/catalogue.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

const std::string kFolder = std::string(FORETRAIN_SOURCE_DIR) + "/platforms";

Cluster shipped(const std::string& name) {
  config::Sources sources;
  return load_cluster(sources, name, kFolder);
}

CollectiveChoice choice(const Cluster& cluster, CollectiveKind kind, Bytes payload,
                        const std::vector<std::size_t>& members) {
  const auto machine = build_machine(cluster, 4);
  return choose({kind, payload, devices(members)}, *machine);
}

std::string chosen(const Cluster& cluster, CollectiveKind kind, Bytes payload,
                   const std::vector<std::size_t>& members) {
  const CollectiveChoice made = choice(cluster, kind, payload, members);
  return std::string(made.algorithm->name) + " " + std::string(name_of(made.protocol));
}

}  // namespace

TEST_CASE("eight A100 talk in LL when small and in Simple when large, on rings", "[collective]") {
  const Cluster cluster = shipped("dgx-a100-80gb");
  CHECK(chosen(cluster, kReduce, 32_KiB, first(8)) == "ring LL");
  CHECK(chosen(cluster, kReduce, 1_GiB, first(8)) == "ring Simple");
}

TEST_CASE("switches add up from Hopper on, in large all-reduces of more than four GPUs",
          "[collective]") {
  for (const char* name : {"h200-node", "dgx-b200"}) {
    const Cluster cluster = shipped(name);
    INFO(name);
    CHECK(chosen(cluster, kReduce, 1_GiB, first(8)) == "nvls Simple");
    CHECK(chosen(cluster, kReduce, 32_KiB, first(8)) == "ring LL");
    CHECK(chosen(cluster, CollectiveKind::all_gather, 1_GiB, first(8)) == "ring Simple");
    CHECK(chosen(cluster, kReduce, 8_GiB, first(2)) == "ring Simple");
  }
  Cluster older = shipped("h200-node");
  older.gpu.generation = GpuGeneration::ampere;
  CHECK(chosen(older, kReduce, 1_GiB, first(8)) == "ring Simple");
}

TEST_CASE("small all-reduces between nodes go over trees in LL", "[collective]") {
  CHECK(chosen(shipped("dgx-a100-80gb"), kReduce, 32_KiB, first(32)) == "tree LL");
  // Slingshot's LL ends where its messages are sent by rendezvous.
  const Cluster alps = shipped("alps-gh200");
  CHECK(chosen(alps, kReduce, 4_KiB, first(16)) == "tree LL");
  CHECK(choice(alps, kReduce, 64_KiB, first(16)).protocol != Protocol::ll);
}

TEST_CASE("PAT serves gathers of one GPU per node only", "[collective]") {
  const Cluster cluster = shipped("dgx-h100");
  CHECK(choice(cluster, CollectiveKind::all_gather, 64_KiB, first(32)).algorithm->name == "ring");
  std::set<std::string_view> names;
  for (const Bytes payload : {1_KiB, 64_KiB, 1_MiB, 64_MiB}) {
    names.insert(
        choice(cluster, CollectiveKind::all_gather, payload, {0, 8, 16, 24}).algorithm->name);
  }
  CHECK(names.contains("pat"));
}

TEST_CASE("RCCL has no switch that adds up, Gloo no protocols", "[collective]") {
  Cluster cluster = shipped("h200-node");
  cluster.collectives = CollectiveLibrary::rccl;
  CHECK(chosen(cluster, kReduce, 1_GiB, first(8)) == "ring Simple");
  cluster.collectives = CollectiveLibrary::gloo;
  CHECK(choice(cluster, kReduce, 1_KiB, first(8)).algorithm->name == "halving-doubling");
  CHECK(choice(cluster, CollectiveKind::broadcast, 1_KiB, first(8)).algorithm->name == "binomial");
}

TEST_CASE("every library serves every kind, with algorithms of the table", "[collective]") {
  for (const CollectiveLibrary library :
       {CollectiveLibrary::nccl, CollectiveLibrary::rccl, CollectiveLibrary::gloo}) {
    Cluster cluster = shipped("dgx-a100-80gb");
    cluster.collectives = library;
    for (const Candidate& candidate : candidates(library)) {
      CHECK_NOTHROW(collective_algorithm(candidate.algorithm));
    }
    for (const CollectiveKind kind : kCollectiveKinds) {
      for (const std::size_t count : {std::size_t{2}, std::size_t{8}, std::size_t{32}}) {
        CHECK(choice(cluster, kind, 1_MiB, first(count)).time > Seconds(0));
      }
    }
  }
}

TEST_CASE("the time of a choice is the time that it takes alone", "[collective]") {
  for (const char* name : {"dgx-a100-80gb", "h200-node", "p5"}) {
    const auto machine = build_machine(shipped(name), 4);
    for (const CollectiveKind kind : kCollectiveKinds) {
      for (const std::size_t count : {std::size_t{8}, std::size_t{16}, std::size_t{32}}) {
        for (const Bytes payload : {64_KiB, 16_MiB, 1_GiB}) {
          INFO(name << " " << name_of(kind) << " " << count << " " << config::show(payload));
          const CollectiveRequest request = {kind, payload, devices(first(count))};
          CHECK_THAT(time_of(request, *machine, quickest),
                     WithinRel(choose(request, *machine).time.value, 1e-9));
        }
      }
    }
  }
}

TEST_CASE("on no platform of the catalogue does a larger payload arrive earlier", "[collective]") {
  for (const std::string& name : config::names_in(kFolder + "/clusters")) {
    const Cluster cluster = shipped(name);
    const auto nodes = static_cast<std::size_t>(2 * cluster.node_unit());
    const auto machine = build_machine(cluster, nodes);
    const auto inside = static_cast<std::size_t>(cluster.gpus_per_node);
    for (const std::size_t count : {inside, nodes * inside}) {
      double before = 0;
      for (Bytes payload = 1_KiB; payload <= 16_GiB; payload *= 1.5) {
        INFO(name << " " << count << " " << config::show(payload));
        const double time = choose({kReduce, payload, devices(first(count))}, *machine).time.value;
        // LL's limit is a step up that a larger payload must not come down from.
        CHECK(time >= before * (1 - 1e-12));
        before = time;
      }
    }
  }
}

}  // namespace foretrain::testing
