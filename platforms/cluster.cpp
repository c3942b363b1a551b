// Reads a cluster file; clusters/h200-node.toml shows every key but the optional max_nodes,
// sustained, collectives, compute_share, hop_latency and low_latency_limit.
// SPDX-License-Identifier: Apache-2.0
#include "platforms/cluster.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>

#include "platforms/topology/topology.hpp"
#include "sim/config/catalogue.hpp"

namespace foretrain {
namespace {

using config::Reader;

// A communication that leaves less than a tenth of the GPU is a mistake.
constexpr double kMostComputeShare = 0.9;

constexpr std::array<config::Choice<CollectiveLibrary>, 3> kLibraryNames = {
    {{"nccl", CollectiveLibrary::nccl},
     {"rccl", CollectiveLibrary::rccl},
     {"gloo", CollectiveLibrary::gloo}}};

/// The row of a table that a cluster's file names.
template <class Row>
const Row& read_topology(Reader& table, std::span<const Row> rows) {
  std::vector<config::Choice<const Row*>> choices;
  choices.reserve(rows.size());
  for (const Row& row : rows) {
    choices.push_back({row.name, &row});
  }
  return *table.choice("topology", std::span<const config::Choice<const Row*>>(choices));
}

constexpr double kLeastMultiplier = 0.01;
constexpr double kMostMultiplier = 100;

// A multiple of NCCL's latencies, or the cost of a step.
void read_latencies(Reader& table, Interconnect& interconnect) {
  if (table.has("latency_multiplier") && table.has("hop_latency")) {
    table.fail("hop_latency", "stands beside latency_multiplier: only one can say what steps cost");
  }
  if (table.has("hop_latency")) {
    interconnect.hop_latency = table.get<Sourced<Seconds>>("hop_latency");
  } else {
    interconnect.latency_multiplier =
        table.fraction("latency_multiplier", kLeastMultiplier, kMostMultiplier);
  }
}

Interconnect read_interconnect(Reader& table) {
  Interconnect interconnect;
  interconnect.rate = table.get<Sourced<BytesPerSecond>>("rate");
  if (table.has("rate") && interconnect.rate.value <= BytesPerSecond(0)) {
    table.fail("rate", "expected a rate greater than zero");
  }
  interconnect.achieved = table.fraction("achieved", 0.01, 1.0);
  interconnect.collective_latency = table.get<Sourced<Seconds>>("collective_latency");
  read_latencies(table, interconnect);
  if (table.has("compute_share")) {
    interconnect.compute_share = table.fraction("compute_share", 0.0, kMostComputeShare);
  }
  if (table.has("half_rate_payload")) {
    interconnect.half_rate_payload = table.get<Sourced<Bytes>>("half_rate_payload");
  }
  if (table.has("low_latency_limit")) {
    interconnect.low_latency_limit = table.get<Sourced<Bytes>>("low_latency_limit");
  }
  interconnect.point_to_point_latency = table.get<Sourced<Seconds>>("point_to_point_latency");
  return interconnect;
}

void read_node(Reader table, Cluster& cluster) {
  const auto& row = read_topology(table, node_topologies());
  cluster.node = read_interconnect(table);
  if (table.has("in_switch_reduction")) {
    cluster.node.in_switch_reduction = table.fraction("in_switch_reduction", 0.01, 1.0);
  }
  const BytesPerSecond rate = std::max(cluster.node.rate.value, BytesPerSecond(1));  // if missing
  cluster.node_wiring = row.read(table,
                                 {static_cast<std::size_t>(cluster.gpus_per_node),
                                  static_cast<std::size_t>(cluster.nics_per_node)},
                                 rate);
  table.finish();
}

std::vector<SlowPort> read_slow_ports(Reader& table, const Cluster& cluster) {
  std::vector<SlowPort> ports;
  for (Reader& entry : table.children("slow_ports")) {
    SlowPort port;
    port.node = entry.count("node", config::Range{0, cluster.nodes - 1});
    port.nic = entry.maybe_count("nic", config::Range{0, cluster.nics_per_node - 1});
    port.rate = entry.get<Sourced<BytesPerSecond>>("rate");
    if (entry.has("rate") && port.rate.value <= BytesPerSecond(0)) {
      entry.fail("rate", "expected a rate greater than zero");
    }
    entry.finish();
    ports.push_back(std::move(port));
  }
  return ports;
}

void read_fabric(Reader table, Cluster& cluster) {
  const auto& row = read_topology(table, fabric_topologies());
  cluster.fabric = read_interconnect(table);
  if (table.has("node_hop_latency")) {
    cluster.fabric.node_hop_latency = table.get<Sourced<Seconds>>("node_hop_latency");
  }
  cluster.fabric_wiring = row.read(table);
  const auto most = static_cast<std::int64_t>(cluster.fabric_wiring->max_nodes());
  if (most > 0 && cluster.nodes > most) {
    table.fail("topology", "holds " + std::to_string(most) +
                               " nodes, but nodes = " + std::to_string(cluster.nodes));
  }
  cluster.slow_ports = read_slow_ports(table, cluster);
  table.finish();
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

// What the fabric cannot hold, a run cannot ask for.
void limit_to_fabric(Cluster& cluster) {
  const auto most = static_cast<std::int64_t>(cluster.fabric_wiring->max_nodes());
  if (most > 0 && (cluster.max_nodes == 0 || most < cluster.max_nodes)) {
    cluster.max_nodes = most;
  }
}

// Parts of unlike size would leave ranks of one tensor group on unlike nodes.
void check_parts(Reader& reader, const Cluster& cluster) {
  for (const ClusterPart& part : cluster.parts) {
    if (part.cluster->gpus_per_node != cluster.gpus_per_node) {
      reader.fail("parts", part.cluster->name + " has " +
                               std::to_string(part.cluster->gpus_per_node) + " GPUs per node and " +
                               cluster.parts.front().cluster->name + " " +
                               std::to_string(cluster.gpus_per_node) +
                               ": nodes of unlike size cannot be mixed");
    }
  }
}

void take_node_of_first_part(Cluster& cluster) {
  const Cluster& first = *cluster.parts.front().cluster;
  cluster.gpu = first.gpu;
  cluster.gpus_per_node = first.gpus_per_node;
  cluster.nics_per_node = first.nics_per_node;
  cluster.sustained = first.sustained;
  cluster.node = first.node;
  cluster.node_wiring = first.node_wiring;
}

std::string part_path(Reader& entry, const std::string& name) {
  const config::Source* const file = entry.position_of("cluster").source;
  return config::is_path(name) && file != nullptr
             ? (std::filesystem::path(file->name).parent_path() / name).string()
             : name;
}

void read_size(Reader& reader, Cluster& cluster) {
  cluster.gpus_per_node = reader.count("gpus_per_node", {1, 1024});
  cluster.nics_per_node = reader.count("nics_per_node", {1, 1024});
  cluster.nodes = reader.count("nodes", 1, {1, 1'000'000});
  if (reader.has("sustained")) {
    cluster.sustained = reader.fraction("sustained", kLeastSustained, kMostSustained);
  }
}

/// What replaces keys of one part's files: what the run says of all GPUs, then of this part.
struct PartOverrides {
  std::optional<config::Value> cluster;
  std::optional<config::Value> gpu;
};

PartOverrides read_part_overrides(Reader& entry, const config::Value* of_all_gpus) {
  PartOverrides part;
  if (of_all_gpus != nullptr) {
    part.gpu = *of_all_gpus;
  }
  if (std::optional<Reader> table = entry.maybe_child("override")) {
    part.cluster = table->maybe_tree("platform");
    if (const auto gpu = table->maybe_tree("gpu")) {
      if (part.gpu) {
        merge(*part.gpu, *gpu);
      } else {
        part.gpu = gpu;
      }
    }
    table->finish();
  }
  return part;
}

const config::Value* pointer(const std::optional<config::Value>& value) {
  return value ? &*value : nullptr;
}

// [[parts]]: cluster = a name in clusters/ or a path relative to this file, nodes = how many;
// override.platform and override.gpu replace keys of its files for this cluster.
void read_parts(Reader& reader, config::Sources& sources, const std::string& platforms_directory,
                const PlatformOverrides& overrides, Cluster& cluster) {
  for (Reader& entry : reader.children("parts")) {
    ClusterPart part;
    const std::string name = entry.get<std::string>("cluster");
    part.nodes = entry.count("nodes", config::Range{1, 1'000'000});
    const PartOverrides replaced = read_part_overrides(entry, overrides.gpu);
    if (!name.empty()) {
      try {
        part.cluster = std::make_shared<const Cluster>(
            load_cluster(sources, part_path(entry, name), platforms_directory,
                         {pointer(replaced.cluster), pointer(replaced.gpu), true}));
      } catch (const ConfigError& error) {
        entry.fail("cluster", error.diagnostics().front().message);
      }
    }
    entry.finish();
    if (part.cluster) {
      cluster.nodes += part.nodes;
      cluster.parts.push_back(std::move(part));
    }
  }
  if (!cluster.parts.empty()) {
    take_node_of_first_part(cluster);
    check_parts(reader, cluster);
  }
}

// Optional: without it nothing can be offloaded.
void read_host_of(Reader& reader, bool is_mixed, Cluster& cluster) {
  if (is_mixed) {
    return;  // the parts' own
  }
  if (auto table = reader.maybe_child("host")) {
    cluster.host = read_host(std::move(*table),
                             {static_cast<std::size_t>(cluster.gpus_per_node),
                              static_cast<std::size_t>(cluster.nics_per_node)},
                             *cluster.node_wiring);
  }
}

/// How often the smallest mixture in the proportion of the parts is in them.
std::int64_t mixtures(const std::vector<ClusterPart>& parts) {
  std::int64_t divisor = 0;
  for (const ClusterPart& part : parts) {
    divisor = std::gcd(divisor, part.nodes);
  }
  return std::max<std::int64_t>(divisor, 1);
}

}  // namespace

Cluster without_hosts(Cluster cluster) {
  cluster.host.reset();
  for (ClusterPart& part : cluster.parts) {
    part.cluster = std::make_shared<const Cluster>(without_hosts(*part.cluster));
  }
  return cluster;
}

Bytes Cluster::least_memory() const {
  Bytes least = gpu.memory.value;
  for (const Cluster* kind : kinds()) {
    least = std::min(least, kind->gpu.memory.value);
  }
  return least;
}

std::vector<const Cluster*> Cluster::kinds() const {
  if (parts.empty()) {
    return {this};
  }
  std::vector<const Cluster*> kinds;
  kinds.reserve(parts.size());
  for (const ClusterPart& part : parts) {
    kinds.push_back(part.cluster.get());
  }
  return kinds;
}

std::int64_t Cluster::node_unit() const {
  std::int64_t unit = 0;
  for (const ClusterPart& part : parts) {
    unit += part.nodes / mixtures(parts);
  }
  return std::max<std::int64_t>(unit, 1);
}

std::vector<std::int64_t> Cluster::nodes_of_kinds(std::int64_t total) const {
  const std::int64_t unit = node_unit();
  FORETRAIN_ASSERT(total % unit == 0, "a mixed cluster of a size that splits a kind");
  if (parts.empty()) {
    return {total};
  }
  std::vector<std::int64_t> counts;
  counts.reserve(parts.size());
  for (const ClusterPart& part : parts) {
    counts.push_back(part.nodes / mixtures(parts) * (total / unit));
  }
  return counts;
}

Cluster read_cluster(Reader& reader, config::Sources& sources,
                     const std::string& platforms_directory, const PlatformOverrides& overrides) {
  Cluster cluster;
  cluster.name = reader.get<std::string>("name");
  cluster.source = reader.get<std::string>("source");
  const bool is_mixed = reader.has("parts");
  if (is_mixed && overrides.is_part) {
    reader.fail("parts",
                "a part of a mixed cluster cannot be mixed itself: name its parts instead");
    return cluster;
  }
  if (is_mixed) {
    cluster.nodes = 0;
    read_parts(reader, sources, platforms_directory, overrides, cluster);
  } else {
    read_size(reader, cluster);
    read_node(reader.child("node"), cluster);
  }
  cluster.max_nodes = reader.count("max_nodes", 0, {1, 1'000'000});
  cluster.collectives = reader.choice(
      "collectives", std::span<const config::Choice<CollectiveLibrary>>(kLibraryNames),
      CollectiveLibrary::nccl);
  check_counts(reader, cluster);
  read_fabric(reader.child("fabric"), cluster);
  limit_to_fabric(cluster);
  read_host_of(reader, is_mixed, cluster);
  reader.ignore("calibration");  // what `foretrain calibrate collectives` left for people
  const std::optional<std::string> gpu =
      is_mixed ? std::nullopt : find_gpu(reader, platforms_directory);
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
