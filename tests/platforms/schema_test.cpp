// SPDX-License-Identifier: Apache-2.0
// Every file and every row of the platforms folder, by iteration: a new one is tested by being
// there.
#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "platforms/topology/topology.hpp"
#include "sim/config/catalogue.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::vector<std::string> files_in(const std::string& folder, const std::string& extension) {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(kPlatforms) / folder)) {
    INFO(entry.path() << " is not a " << extension << " file");
    CHECK((entry.path().extension() == extension || entry.path().extension() == ".hpp"));
    if (entry.path().extension() == extension) {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void check_facts(const std::vector<Fact>& facts) {
  std::set<std::string> names;
  for (const Fact& fact : facts) {
    INFO(fact.name);
    CHECK(names.insert(fact.name).second);
    CHECK_FALSE(fact.value.empty());
    CHECK(fact.source.size() > 8);
  }
}

TEST_CASE("every GPU file reads, and each of its numbers has a source", "[platforms]") {
  for (const std::string& name : files_in("gpus", ".toml")) {
    INFO(name);
    config::Sources sources;
    const Gpu gpu = load_gpu(sources, name, kPlatforms);
    check_facts(facts(gpu));
    CHECK_FALSE(gpu.name.empty());
    CHECK(gpu.memory.value >= 8_GB);
    CHECK(gpu.memory_share.size() == 5);
    for (const auto& [dtype, peak] : gpu.peak) {
      CHECK(supports(gpu, dtype));  // a peak without a fit would be of no use
    }
    CHECK(supports(gpu, Dtype::fp16));
  }
}

TEST_CASE("every cluster file reads, builds, and describes itself", "[platforms]") {
  for (const std::string& name : files_in("clusters", ".toml")) {
    INFO(name);
    config::Sources sources;
    const Cluster cluster = load_cluster(sources, name, kPlatforms);
    check_facts(facts(cluster));
    const auto machine = build_machine(cluster, 2 * static_cast<std::size_t>(cluster.node_unit()));
    const std::string text = describe(*machine);
    for (const Fact& fact : facts(cluster)) {
      CHECK(text.find(fact.name) != std::string::npos);
      CHECK(text.find(fact.source) != std::string::npos);
    }
  }
}

TEST_CASE("each topology has one file and one row", "[platforms]") {
  std::vector<std::string> rows = {"catalog"};
  for (const NodeTopologyRow& row : node_topologies()) {
    rows.emplace_back(row.name);
    CHECK(row.sentence.size() > 20);
  }
  for (const FabricTopologyRow& row : fabric_topologies()) {
    rows.emplace_back(row.name);
    CHECK(row.sentence.size() > 20);
  }
  std::sort(rows.begin(), rows.end());
  CHECK(files_in("topology", ".cpp") == rows);
}

TEST_CASE("numbers that were not measured on a GPU are named", "[platforms]") {
  config::Sources sources;
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  // The A100-80 has GEMM kernel rows in fp16; bf16 and the 40 GB card take them over.
  const auto a100 = unmeasured(load_gpu(sources, "a100-sxm4-80gb", kPlatforms));
  CHECK_FALSE(has(a100, "gemm.fp16.efficiency"));
  CHECK(has(a100, "gemm.bf16.efficiency"));
  CHECK(has(a100, "memory_bound.norm"));
  CHECK_FALSE(has(a100, "memory_rate"));
  const auto small = unmeasured(load_gpu(sources, "a100-sxm4-40gb", kPlatforms));
  CHECK(has(small, "gemm.fp16.efficiency"));
}

TEST_CASE("a cluster's sustained level replaces that of its GPU, and is named once",
          "[platforms]") {
  const std::string text = spoilt(
      kClusterFile, "nodes = 2\n",
      "nodes = 2\nsustained = { value = 0.8, basis = 'measured', source = 'of this site' }\n");
  const Cluster cluster = cluster_from(text);
  CHECK(cluster.gpu.sustained.value == 0.8);
  CHECK(cluster.gpu.sustained.source == "of this site");
  std::vector<std::string> names;
  for (const Fact& fact : facts(cluster)) {
    if (fact.name.find("sustained") != std::string::npos) {
      names.push_back(fact.name);
    }
  }
  CHECK(names == std::vector<std::string>{"sustained"});
  config::Sources sources;
  CHECK(cluster_from(std::string(kClusterFile)).gpu.sustained.value ==
        load_gpu(sources, "a100-sxm4-80gb", kPlatforms).sustained.value);
}

TEST_CASE("what a run says of the GPU's sustained level goes before the cluster's", "[platforms]") {
  config::Sources sources;
  const config::Value root = config::parse_toml(
      sources, "cluster.toml", spoilt(kClusterFile, "nodes = 2\n", "nodes = 2\nsustained = 0.8\n"));
  const config::Value of_run = config::parse_toml(sources, "run.toml", "sustained = 0.9\n");
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  const Cluster cluster =
      read_cluster(reader, sources, kPlatforms, {.cluster = nullptr, .gpu = &of_run});
  diagnostics.throw_if_any();
  CHECK(cluster.gpu.sustained.value == 0.9);
  CHECK_FALSE(cluster.sustained.has_value());
}

TEST_CASE("a fit that is the same as another carries its numbers and its own source",
          "[platforms]") {
  const Gpu gpu = gpu_from(std::string(kGpuFile));
  const GemmFit& fit = gpu.gemm.at(Dtype::bf16);
  CHECK(fit.efficiency.value == 0.75);
  CHECK(fit.floor.value == 4_us);
  CHECK(fit.efficiency.source == "one rate");
  CHECK(fit.efficiency.basis == config::Basis::transferred);
  CHECK(gpu.gemm.at(Dtype::fp16).efficiency.source == "a test");
}

}  // namespace
}  // namespace foretrain::testing
