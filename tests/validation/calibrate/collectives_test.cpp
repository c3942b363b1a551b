// Calibration of collectives: numbers that made a curve are found again, and the shipped platforms
// against measured collectives.
// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/collectives.hpp"

#include <map>
#include <set>

#include "sim/core/error.hpp"
#include "strategies/collective/nccl.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"
#include "validation/csv.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

using validation::CollectiveCalibration;
using validation::CollectiveTable;
using validation::MeasuredCollective;

constexpr const char* kCluster = R"(# A comment at the head.
name = "Synthetic"
source = "a test"
gpu = "h200-sxm"
gpus_per_node = 8
nics_per_node = 8

[node]
topology = "nvswitch"
rate = "450 GB/s"
achieved = 0.5
collective_latency = "1 us"
hop_latency = "1 us"
in_switch_reduction = 0.5
point_to_point_latency = "8 us"

[fabric]
topology = "non_blocking"
rate = "50 GB/s"
achieved = 0.5
collective_latency = "1 us"
hop_latency = "1 us"
point_to_point_latency = "18 us"
)";

/// What the curves are made of.
struct Truth {
  double achieved = 0.8;
  double latency_us = 12;
  double multiplier = 1.5;
  double half_mib = 4;
};
void set(Interconnect& way, const Truth& truth) {
  const auto said = [](auto value) {
    return Sourced<decltype(value)>{value, "a test", config::Basis::assumed};
  };
  way.achieved = said(truth.achieved);
  way.collective_latency = said(Seconds(truth.latency_us * 1e-6));
  way.latency_multiplier = said(truth.multiplier);
  way.half_rate_payload = said(Bytes(truth.half_mib * 1024 * 1024));
  way.hop_latency.reset();
}

config::Value tree_of(config::Sources& sources) {
  return config::parse_toml(sources, "cluster.toml", kCluster);
}

Cluster loaded(config::Sources& sources, const config::Value& tree) {
  config::Diagnostics diagnostics;
  config::Reader reader(tree, "", diagnostics);
  Cluster cluster = read_cluster(reader, sources, kPlatforms);
  diagnostics.throw_if_any();
  return cluster;
}

/// Times that the true cluster takes: all-reduces and all-gathers from 8 KiB to 4 GiB.
CollectiveTable curves(const Cluster& truth, const std::vector<std::pair<int, int>>& groups) {
  CollectiveTable table;
  for (const auto& [gpus, nodes] : groups) {
    for (const CollectiveKind kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather}) {
      for (Bytes payload = 8_KiB; payload <= 4_GiB; payload *= 4) {
        MeasuredCollective row;
        row.kind = kind;
        row.gpus = gpus;
        row.nodes = nodes;
        row.payload = payload;
        row.time = 1_s;
        row.source = "a test";
        table.rows.push_back(std::move(row));
      }
    }
  }
  const auto points = validation::predict(table.rows, truth);
  for (std::size_t i = 0; i < points.size(); ++i) {
    table.rows[i].time = points[i].predicted;
  }
  return table;
}

CollectiveCalibration calibrated(const CollectiveTable& table,
                                 const std::vector<std::string>& keep = {}) {
  config::Sources sources;
  const config::Value tree = tree_of(sources);
  return validation::calibrate_collectives(
      table, tree, [&](const config::Value& each) { return loaded(sources, each); },
      {"a command", keep});
}

void check_found(const Interconnect& way, const Truth& truth) {
  CHECK_THAT(way.achieved.value, WithinRel(truth.achieved, 0.02));
  CHECK_THAT(way.collective_latency.value.value, WithinRel(truth.latency_us * 1e-6, 0.15));
  CHECK_THAT(way.latency_multiplier->value, WithinRel(truth.multiplier, 0.1));
  CHECK_THAT(way.half_rate_payload->value.value, WithinRel(truth.half_mib * 1024 * 1024, 0.2));
}

}  // namespace

TEST_CASE("numbers that made the curves of a node and a fabric are found again", "[calibrate]") {
  config::Sources sources;
  Cluster cluster = loaded(sources, tree_of(sources));
  const Truth inside = {0.8, 12, 1.5, 4};
  const Truth between = {0.9, 20, 2.5, 10};
  set(cluster.node, inside);
  set(cluster.fabric, between);
  const CollectiveCalibration result =
      calibrated(curves(cluster, {{2, 1}, {8, 1}, {16, 2}, {32, 4}}));
  check_found(result.cluster.node, inside);
  check_found(result.cluster.fabric, between);
  for (const validation::CollectivePoint& point : result.points) {
    INFO(point.measured.gpus << " " << config::show(point.measured.payload));
    CHECK(std::abs(point.error()) < 0.03);
  }
}

TEST_CASE("a calibrated file keeps its head, loses what the fit replaces, and says its basis",
          "[calibrate]") {
  config::Sources sources;
  Cluster cluster = loaded(sources, tree_of(sources));
  set(cluster.node, {});
  const CollectiveCalibration result = calibrated(curves(cluster, {{8, 1}}), {"node.achieved"});
  CHECK(result.toml.starts_with("# A comment at the head.\n"));
  const config::Value again = config::parse_toml(sources, "again.toml", result.toml);
  const Cluster read = loaded(sources, again);
  CHECK(read.node.achieved.value == 0.5);  // kept
  CHECK_FALSE(read.node.hop_latency);
  CHECK(read.fabric.hop_latency);  // no rows between nodes
  CHECK(read.node.latency_multiplier->basis == config::Basis::fitted);
  CHECK(read.node.latency_multiplier->source ==
        "a test: all_gather, all_reduce on 8 GPUs, 20 rows");
  CHECK(result.toml.find("command = \"a command\"") != std::string::npos);
}

TEST_CASE("rows that do not fit the cluster are named by their line", "[calibrate]") {
  CollectiveTable table;
  table.rows.emplace_back();
  table.rows[0].gpus = 16;
  table.rows[0].nodes = 1;
  table.rows[0].payload = 1_MiB;
  table.rows[0].time = 1_s;
  table.rows[0].line = 7;
  CHECK_THROWS_WITH(calibrated(table),
                    Catch::Contains("line 7: 16 GPUs on 1 nodes, but 'Synthetic' has 8 per node"));
  table.rows[0].nodes = 2;
  table.rows[0].algorithm = "nvls";
  CHECK_THROWS_WITH(calibrated(table), Catch::Contains("line 7: 'nvls' cannot serve this group"));
  CHECK_THROWS_AS(calibrated(CollectiveTable()), ConfigError);
}

TEST_CASE("errors of a curve are told apart at 8 MiB", "[calibrate]") {
  std::vector<validation::CollectivePoint> points(3);
  for (validation::CollectivePoint& point : points) {
    point.measured.gpus = 8;
    point.measured.nodes = 1;
    point.measured.time = 100_us;
  }
  points[0].measured.payload = 1_MiB;
  points[0].predicted = 120_us;
  points[1].measured.payload = 8_MiB;
  points[1].predicted = 90_us;
  points[2].measured.payload = 1_GiB;
  points[2].predicted = 130_us;
  const auto made = validation::curves_of(points);
  REQUIRE(made.size() == 1);
  CHECK_THAT(made[0].small, WithinRel(0.2, 1e-12));
  CHECK_THAT(made[0].large, WithinRel(0.2, 1e-12));
  CHECK(made[0].num_small == 1);
  CHECK(made[0].num_large == 2);
  CHECK(validation::curve_table(made).find("20.0 % of 2 over") != std::string::npos);
}

TEST_CASE("the shipped platforms take the measured times of collectives", "[calibrate]") {
  config::Sources sources;
  const std::string path = std::string(FORETRAIN_SOURCE_DIR) + "/validation/collectives.csv";
  const validation::CsvTable csv = validation::CsvTable::load(sources, path);
  config::Diagnostics diagnostics;
  std::set<std::string> platforms;
  for (std::size_t i = 0; i < csv.size(); ++i) {
    platforms.insert(csv.row(i, diagnostics).text("platform"));
  }
  CHECK(platforms.size() == 7);
  for (const std::string& platform : platforms) {
    validation::CollectiveTableOptions options;
    options.where = {{"platform", platform}};
    const CollectiveTable table = validation::read_collectives(sources, path, options);
    CHECK(table.rejected.empty());
    const auto points =
        validation::predict(table.rows, load_cluster(sources, platform, kPlatforms));
    double small = 0;
    double large = 0;
    double num_small = 0;
    double num_large = 0;
    for (const validation::CollectivePoint& point : points) {
      const bool is_large = point.measured.payload >= validation::kLargePayload;
      (is_large ? large : small) += std::abs(point.error());
      (is_large ? num_large : num_small) += 1;
      INFO(platform << " line " << point.measured.line << " " << point.algorithm);
      CHECK(std::abs(point.error()) < 0.6);
    }
    INFO(platform);
    CHECK(large / std::max(1.0, num_large) < validation::kLargeTarget);
    CHECK(small / std::max(1.0, num_small) < validation::kSmallTarget);
  }
}

}  // namespace foretrain::testing
