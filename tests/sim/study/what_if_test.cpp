// Changes of hardware on one line: every name against every cluster of the catalogue.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/what_if/what_if.hpp"

#include <cmath>
#include <map>
#include <set>

#include "sim/config/catalogue.hpp"
#include "sim/core/error.hpp"
#include "sim/core/table.hpp"
#include "strategies/load_platform.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

/// A run file of some platform, its hardware changed or not.
class Changed {
 public:
  Changed(const std::string& platform, const std::string& line, const std::string& size = "") {
    config::Value tree = parse_toml(sources_, "run.toml",
                                    "model = \"gpt2\"\nplatform = \"" + platform + "\"\n" + size +
                                        "\n[training]\nsequence_length = 128\nglobal_batch = 8\n");
    if (!line.empty()) {
      texts_ = apply_what_if(line, tree, sources_, source_catalogue(), "");
    }
    config::Diagnostics diagnostics;
    config::Reader reader(tree, "", diagnostics);
    file_ = read_run(reader);
    diagnostics.throw_if_any();
    cluster_ = load_platform(file_, sources_, source_catalogue(), "");
  }
  [[nodiscard]] const RunFile& file() const { return file_; }
  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] const std::vector<std::string>& texts() const { return texts_; }

 private:
  config::Sources sources_;
  RunFile file_;
  Cluster cluster_;
  std::vector<std::string> texts_;
};

std::string what_if_error(const std::string& platform, const std::string& line) {
  try {
    const Changed changed(platform, line);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

/// The number of a fact in its base unit.
double number_of(const Fact& fact) {
  if (const auto rate = config::parse_quantity<BytesPerSecond>(fact.value)) {
    return rate->value;
  }
  if (const auto size = config::parse_quantity<Bytes>(fact.value)) {
    return size->value;
  }
  if (const auto time = config::parse_quantity<Seconds>(fact.value)) {
    return time->value;
  }
  if (const auto rate = config::parse_quantity<FlopsPerSecond>(fact.value)) {
    return rate->value;
  }
  return std::stod(fact.value);
}

/// The facts whose number changed, with the factor.
std::map<std::string, double> differences(const Cluster& before, const Cluster& after) {
  const std::vector<Fact> old = facts(before);
  const std::vector<Fact> now = facts(after);
  REQUIRE(old.size() == now.size());
  std::map<std::string, double> factors;
  for (std::size_t i = 0; i < old.size(); ++i) {
    REQUIRE(old[i].name == now[i].name);
    if (old[i].value != now[i].value) {
      CHECK(now[i].basis == config::Basis::assumed);
      CHECK(now[i].source.starts_with("--what-if "));
      factors[now[i].name] = number_of(now[i]) / number_of(old[i]);
    }
  }
  return factors;
}

/// Whether a row may touch a fact; "DGX A100: memory" is one of a part.
bool may_touch(std::string_view row, const std::string& fact) {
  const bool is_memory = fact == "memory" || fact.ends_with(": memory") || has(fact, "gpu.memory");
  static const std::map<std::string, std::vector<std::string>, std::less<>> kParts = {
      {"flops", {"peak."}},
      {"hbm", {"memory_rate"}},
      {"nvlink", {"node.rate", "node.links", "node.pair_rate"}},
      {"pcie", {"node.rate", "switch_uplink_rate", "host.link_rate", "host.uplink_rate"}},
      {"nic", {"fabric.rate", "slow_ports"}},
      {"slow_port", {"slow_ports"}},
      {"spine", {"fabric.link_rate", "fabric.backplane", "oversubscription"}},
      {"oversubscription", {"oversubscription"}},
      {"latency", {"latency"}},
  };
  if (row == "hbm_size") {
    return is_memory;
  }
  const auto& parts = kParts.find(row)->second;
  return std::any_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return has(fact, part); });
}

// Doubling: capacity over a level's links doubles where its oversubscription halves, down to 1.
double expected_factor(std::string_view row, const std::string& fact, const Cluster& before) {
  if (row == "spine" && has(fact, "oversubscription")) {
    for (const Fact& each : facts(before)) {
      if (each.name == fact) {
        return std::max(1.0, number_of(each) / 2) / number_of(each);
      }
    }
  }
  return 2;
}

void check_doubled(std::string_view row, const std::string& platform) {
  const Changed before(platform, "");
  const Changed after(platform, std::string(row) + "=2x");
  CHECK(after.texts().size() == 1);
  const auto factors = differences(before.cluster(), after.cluster());
  CHECK_FALSE(factors.empty());
  for (const auto& [fact, factor] : factors) {
    INFO(fact);
    CHECK(may_touch(row, fact));
    CHECK_THAT(factor, WithinRel(expected_factor(row, fact, before.cluster()), 0.01));
  }
}

// Hardware that a cluster may not have at all.
const std::set<std::string, std::less<>> kSometimes = {"slow_port", "spine", "oversubscription",
                                                       "pcie", "nvlink"};

TEST_CASE("every name changes what it says, or says why not, on every cluster", "[study]") {
  const std::vector<std::string> platforms =
      config::names_in(source_catalogue().platforms + "/clusters");
  for (const WhatIfRow& row : what_if_rows()) {
    std::size_t changed = 0;
    for (const std::string& platform : platforms) {
      INFO(row.name << " on " << platform);
      if (row.name == "gpu" || row.name == "nodes" || row.name == "gpus_per_node") {
        continue;  // below: these are no facts
      }
      const std::string refusal = what_if_error(platform, std::string(row.name) + "=2x");
      if (refusal.empty()) {
        check_doubled(row.name, platform);
        ++changed;
      } else {
        CHECK(kSometimes.contains(row.name));
        CHECK(refusal.starts_with("--what-if:1:"));
      }
    }
    INFO(row.name);
    CHECK((changed > 0 || row.name == "gpu" || row.name == "nodes" || row.name == "gpus_per_node"));
    CHECK(row.sentence.size() > 10);
  }
}

TEST_CASE("every cluster takes another GPU, without its own site's clocks", "[study]") {
  for (const std::string& platform : config::names_in(source_catalogue().platforms + "/clusters")) {
    INFO(platform);
    const Changed changed(platform, "gpu=h200-sxm");
    for (const Cluster* kind : changed.cluster().kinds()) {
      CHECK(kind->gpu.name == "H200 SXM 141GB");
    }
  }
  // The clocks of this one are its cluster's, and another GPU has its own.
  CHECK(Changed("b200-power-limited", "").cluster().gpu.sustained.value != 1.0);
  config::Sources sources;
  CHECK(Changed("b200-power-limited", "gpu=h200-sxm").cluster().gpu.sustained.value ==
        load_gpu(sources, "h200-sxm", source_catalogue().platforms).sustained.value);
}

TEST_CASE("nodes of twice the GPUs have twice the NICs", "[study]") {
  const Changed changed("dgx-a100-40gb", "gpus_per_node=2x");  // 8 GPUs, 4 NICs
  CHECK(changed.cluster().gpus_per_node == 16);
  CHECK(changed.cluster().nics_per_node == 8);
  CHECK(has(what_if_error("dgx-a100-40gb", "gpus_per_node=3"),
            "4 NICs for 8 GPUs make no whole number of NICs for 3"));
  // A node that is wired link by link has no links to the others.
  CHECK(has(what_if_error("summit", "gpus_per_node=12"), "cannot be reached"));
}

TEST_CASE("a run grows in the unit that its file counts in", "[study]") {
  CHECK(Changed("dgx-h100", "nodes=6", "nodes = 2").file().nodes == 6);
  CHECK(Changed("dgx-h100", "nodes=+50%", "nodes = 2").file().nodes == 3);
  CHECK(Changed("dgx-h100", "nodes=2x", "gpus = 16").file().gpus == 32);
  CHECK(has(what_if_error("dgx-h100", "nodes=1.5x"), "1.5x of 1 is no whole number"));
}

TEST_CASE("an amount is a quantity, a factor or a percentage", "[study]") {
  const auto rate = [](const std::string& amount) {
    return Changed("dgx-h100", "nic=" + amount).cluster().fabric.rate.value.value;
  };
  CHECK_THAT(rate("800Gb/s"), WithinRel(100e9, 1e-12));  // 8 bits to a byte
  CHECK_THAT(rate("25 GB/s"), WithinRel(25e9, 1e-12));
  CHECK_THAT(rate("0.5x"), WithinRel(25e9, 1e-12));  // of 50 GB/s
  CHECK_THAT(rate("+50%"), WithinRel(75e9, 1e-12));
  CHECK_THAT(rate("-50%"), WithinRel(25e9, 1e-12));
}

TEST_CASE("changes are made in the order of the table, whatever the order on the line", "[study]") {
  for (const char* line : {"gpu=h200-sxm,hbm=2x", "hbm=2x,gpu=h200-sxm"}) {
    const Changed changed("dgx-a100-80gb", line);
    config::Sources sources;
    const Gpu h200 = load_gpu(sources, "h200-sxm", source_catalogue().platforms);
    CHECK_THAT(changed.cluster().gpu.memory_rate.value.value,
               WithinRel(2 * h200.memory_rate.value.value, 1e-12));
    REQUIRE(changed.texts().size() == 2);
    CHECK(changed.texts()[0] == "what if gpu=h200-sxm: gpu A100 SXM4 80GB -> H200 SXM 141GB");
  }
}

TEST_CASE("in a mixed cluster each kind of node keeps its own numbers", "[study]") {
  const Cluster before = Changed("mixed-a100-h100", "").cluster();
  const Cluster after = Changed("mixed-a100-h100", "hbm=+50%,nic=2x").cluster();
  REQUIRE(after.parts.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK_THAT(after.parts[i].cluster->gpu.memory_rate.value.value,
               WithinRel(1.5 * before.parts[i].cluster->gpu.memory_rate.value.value, 1e-12));
    CHECK_THAT(after.parts[i].cluster->fabric.rate.value.value,
               WithinRel(2 * before.parts[i].cluster->fabric.rate.value.value, 1e-12));
  }
}

TEST_CASE("a slow port gets faster alone, and no slower than it was with the others", "[study]") {
  const Cluster cluster = Changed("a100-one-slow-port", "slow_port=200Gb/s").cluster();
  CHECK(cluster.fabric.rate.value.value == 25e9);
  CHECK(cluster.slow_ports.front().rate.value.value == 25e9);
}

TEST_CASE("a line that is none is refused at its place", "[study]") {
  const auto mistake = [](const std::string& line) { return what_if_error("dgx-h100", line); };
  CHECK(has(mistake("nvlnk=2x"),
            "--what-if:1:1: no hardware is called 'nvlnk'; did you mean 'nvlink'?"));
  CHECK(
      has(mistake("nic=2x,zzz=1"), "--what-if:1:8: no hardware is called 'zzz'; there are gpu, "));
  CHECK(has(mistake("nic=2x,nic=3x"), "--what-if:1:12: nic is changed twice"));
  CHECK(has(mistake("nic=2 GB"), "--what-if:1:5: expected a rate such as"));
  CHECK(has(mistake("nic=-100%"), "--what-if:1:5: expected a factor of more than zero"));
  CHECK(has(mistake("flops=2PFLOP/s"), "a GPU has a peak for each precision"));
  CHECK(has(mistake("gpu=h20-sxm"), "no GPU is called 'h20-sxm'; did you mean"));
  CHECK(has(mistake("gpu=2x"), "expected the name of a GPU"));
  for (const char* line : {"nic", "=2x", "nic=", ",", "nic=2x,", "nic=nan", "nic=infx", "nic=0x"}) {
    INFO(line);
    CHECK(has(mistake(line), "expected"));
  }
}

}  // namespace
}  // namespace foretrain::testing
