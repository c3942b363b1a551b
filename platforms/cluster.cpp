// Reads a cluster file; clusters/dgx-a100-40gb.toml shows every key but the optional max_nodes,
// sustained and fabric.node_hop_latency.
// SPDX-License-Identifier: Apache-2.0
#include "platforms/cluster.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "platforms/topology/topology.hpp"
#include "sim/config/catalogue.hpp"

namespace foretrain {
namespace {

using config::Reader;

std::vector<SizeShare> read_size_shares(Reader& table) {
  std::vector<SizeShare> points;
  for (Reader& point : table.children("size_shares")) {
    points.push_back({point.get<Bytes>("payload"), point.fraction("share", 0.01, 1.0).value});
    if (points.size() > 1 && points.back().payload <= points[points.size() - 2].payload) {
      point.fail("payload", "expected a payload larger than that of the point before");
    }
    if (point.has("payload") && points.back().payload <= Bytes(0)) {
      point.fail("payload", "expected a payload greater than zero");
    }
    point.finish();
  }
  return points;
}

std::string read_topology(Reader& table, TopologyScope scope) {
  std::vector<config::Choice<std::string_view>> choices;
  for (const TopologyRow& row : topologies()) {
    if (row.scope == scope) {
      choices.push_back({row.name, row.name});
    }
  }
  return std::string(
      table.choice("topology", std::span<const config::Choice<std::string_view>>(choices)));
}

Interconnect read_interconnect(Reader table, TopologyScope scope) {
  Interconnect interconnect;
  interconnect.topology = read_topology(table, scope);
  interconnect.rate = table.get<Sourced<BytesPerSecond>>("rate");
  if (table.has("rate") && interconnect.rate.value <= BytesPerSecond(0)) {
    table.fail("rate", "expected a rate greater than zero");
  }
  interconnect.achieved = table.fraction("achieved", 0.01, 1.0);
  interconnect.collective_latency = table.get<Sourced<Seconds>>("collective_latency");
  interconnect.hop_latency = table.get<Sourced<Seconds>>("hop_latency");
  if (scope == TopologyScope::fabric && table.has("node_hop_latency")) {
    interconnect.node_hop_latency = table.get<Sourced<Seconds>>("node_hop_latency");
  }
  interconnect.point_to_point_latency = table.get<Sourced<Seconds>>("point_to_point_latency");
  interconnect.size_shares = read_size_shares(table);
  if (table.has("size_shares")) {
    interconnect.size_shares_source = table.get<std::string>("size_shares_source");
  }
  table.finish();
  return interconnect;
}

// The file of the cluster's GPU; a path is relative to the cluster's file. Nothing after a mistake.
std::optional<std::string> find_gpu(Reader& reader, const std::string& platforms_directory) {
  std::string gpu = reader.get<std::string>("gpu");
  if (!reader.has("gpu") || gpu.empty()) {
    return std::nullopt;
  }
  const config::Source* const file = reader.position_of("gpu").source;
  if (config::is_path(gpu) && file != nullptr) {
    gpu = (std::filesystem::path(file->name).parent_path() / gpu).string();
  }
  try {
    return config::find_file("GPU", gpu, platforms_directory + "/gpus");
  } catch (const ConfigError& error) {
    reader.fail("gpu", error.diagnostics().front().message);
    return std::nullopt;
  }
}

void check_counts(Reader& reader, const Cluster& cluster) {
  if (cluster.nics_per_node > cluster.gpus_per_node && reader.has("gpus_per_node")) {
    reader.fail("nics_per_node", std::to_string(cluster.nics_per_node) + " > gpus_per_node " +
                                     std::to_string(cluster.gpus_per_node) +
                                     ", but a GPU uses one NIC: count the NICs of one GPU as one, "
                                     "with their summed rate");
  }
  if (cluster.max_nodes != 0 && cluster.nodes > cluster.max_nodes) {
    reader.fail("nodes", std::to_string(cluster.nodes) + " > max_nodes " +
                             std::to_string(cluster.max_nodes));
  }
}

// The cluster's level replaces that of the GPU file, but not one that the run itself gives the GPU.
void apply_sustained(Cluster& cluster, const config::Value* gpu_overrides) {
  const config::Table* const table = gpu_overrides == nullptr ? nullptr : gpu_overrides->table();
  if (table != nullptr && std::any_of(table->begin(), table->end(), [](const config::Entry& entry) {
        return entry.key == "sustained";
      })) {
    cluster.sustained.reset();
  }
  if (cluster.sustained) {
    cluster.gpu.sustained = *cluster.sustained;
  }
}

}  // namespace

double Interconnect::share_at(Bytes payload) const {
  if (size_shares.empty()) {
    return 1.0;
  }
  const auto above = std::find_if(size_shares.begin(), size_shares.end(),
                                  [&](const SizeShare& s) { return s.payload >= payload; });
  if (above == size_shares.begin()) {
    return above->share;
  }
  if (above == size_shares.end()) {
    return size_shares.back().share;
  }
  const SizeShare& below = *(above - 1);
  const double along = std::log(payload / below.payload) / std::log(above->payload / below.payload);
  return below.share + along * (above->share - below.share);
}

Cluster read_cluster(Reader& reader, config::Sources& sources,
                     const std::string& platforms_directory, const PlatformOverrides& overrides) {
  Cluster cluster;
  cluster.name = reader.get<std::string>("name");
  cluster.source = reader.get<std::string>("source");
  cluster.gpus_per_node = reader.count("gpus_per_node", {1, 1024});
  cluster.nics_per_node = reader.count("nics_per_node", {1, 1024});
  cluster.nodes = reader.count("nodes", 1, {1, 1'000'000});
  cluster.max_nodes = reader.count("max_nodes", 0, {1, 1'000'000});
  check_counts(reader, cluster);
  if (reader.has("sustained")) {
    cluster.sustained = reader.fraction("sustained", kLeastSustained, kMostSustained);
  }
  cluster.node = read_interconnect(reader.child("node"), TopologyScope::node);
  cluster.fabric = read_interconnect(reader.child("fabric"), TopologyScope::fabric);

  const std::optional<std::string> gpu = find_gpu(reader, platforms_directory);
  reader.finish();
  // The GPU file reports its own mistakes; those of this file come first.
  if (gpu && reader.diagnostics().empty()) {
    cluster.gpu = load_gpu(sources, *gpu, platforms_directory, overrides.gpu);
    apply_sustained(cluster, overrides.gpu);
  }
  return cluster;
}

Cluster load_cluster(config::Sources& sources, const std::string& name_or_path,
                     const std::string& platforms_directory, const PlatformOverrides& overrides) {
  const std::string path =
      config::find_file("cluster", name_or_path, platforms_directory + "/clusters");
  return config::load_toml<Cluster>(
      sources, path,
      [&](Reader& reader) { return read_cluster(reader, sources, platforms_directory, overrides); },
      overrides.cluster);
}

}  // namespace foretrain
