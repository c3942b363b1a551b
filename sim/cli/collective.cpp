// foretrain collective: how long one collective takes when nothing else communicates, size by size,
// in the columns of nccl-tests.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/config/quantity.hpp"
#include "strategies/collective/nccl.hpp"

namespace foretrain::cli {
namespace {

struct CollectiveArguments {
  std::string platform;
  std::string kind = "all_reduce";
  std::string algorithm;
  std::string first = "8 KiB";
  std::string last = "8 GiB";
  std::string format = "text";
  std::int64_t gpus = 0;
  std::int64_t gpus_per_node = 0;
};

[[noreturn]] void fail(std::string message) {
  Diagnostic diagnostic;
  diagnostic.message = std::move(message);
  throw ConfigError({diagnostic});
}

Bytes payload_in(const std::string& text) {
  const auto payload = config::parse_quantity<Bytes>(text);
  if (!payload || *payload <= Bytes(0)) {
    fail("expected " + config::expected_quantity<Bytes>() + " greater than zero, got '" + text +
         "'");
  }
  return *payload;
}

CollectiveKind kind_in(const std::string& name) {
  for (const CollectiveKind kind : kCollectiveKinds) {
    if (name_of(kind) == name) {
      return kind;
    }
  }
  return CollectiveKind::all_reduce;  // CLI11 has checked the name
}

/// The group fills nodes one after the other with gpus_per_node members each.
struct Group {
  std::vector<DeviceId> devices;
  std::int64_t nodes = 1;
};
Group group_of(const CollectiveArguments& options, const Cluster& cluster) {
  const std::int64_t gpus = options.gpus == 0 ? cluster.gpus_per_node : options.gpus;
  const std::int64_t per_node =
      options.gpus_per_node == 0 ? std::min(gpus, cluster.gpus_per_node) : options.gpus_per_node;
  if (per_node > cluster.gpus_per_node) {
    fail(fmt::format("'{}' has {} GPUs per node", cluster.name, cluster.gpus_per_node));
  }
  if (gpus % per_node != 0) {
    fail(fmt::format("{} GPUs do not fill nodes of {}", gpus, per_node));
  }
  Group group;
  group.nodes = gpus / per_node;
  group.devices.reserve(static_cast<std::size_t>(gpus));
  for (std::int64_t i = 0; i < gpus; ++i) {
    group.devices.emplace_back(
        static_cast<std::size_t>(i / per_node * cluster.gpus_per_node + i % per_node));
  }
  return group;
}

CollectiveChoice choice_for(const CollectiveArguments& options, const CollectiveRequest& request,
                            const Machine& machine) {
  if (options.algorithm.empty()) {
    return choose(request, machine);
  }
  const CollectiveAlgorithm& algorithm = collective_algorithm(options.algorithm);
  if (const auto reason = why_not(algorithm, request, machine)) {
    fail(fmt::format("'{}' cannot serve this group: {}", options.algorithm, *reason));
  }
  return choose_protocol(algorithm, request, machine);
}

int collective_command(const CollectiveArguments& options, Console& console) {
  config::Sources sources;
  const Cluster cluster = load_cluster(sources, options.platform, find_catalogue().platforms);
  const Group group = group_of(options, cluster);
  const std::int64_t unit = cluster.node_unit();
  const auto machine =
      build_machine(cluster, static_cast<std::size_t>((group.nodes + unit - 1) / unit * unit));
  CollectiveRequest request{kind_in(options.kind), payload_in(options.first), group.devices};
  const Bytes last = payload_in(options.last);
  const double factor = bus_factor(request.kind, group.devices.size());
  (void)choice_for(options, request, *machine);  // refuses before anything is printed
  const bool is_csv = options.format == "csv";
  if (is_csv) {
    console.out << "size_bytes,algorithm,protocol,time_us,algbw_GBps,busbw_GBps\n";
  } else {
    console.out << fmt::format(
        "{}, {} of {} GPUs on {}\n\n{:>14}  {:<22} {:<8} {:>12} {:>10} {:>10}\n", cluster.name,
        options.kind, group.devices.size(),
        group.nodes == 1 ? "one node" : fmt::format("{} nodes", group.nodes), "size (B)",
        "algorithm", "protocol", "time (us)", "algbw", "busbw");
  }
  for (; request.payload <= last; request.payload *= 2) {
    const CollectiveChoice choice = choice_for(options, request, *machine);
    const double microseconds = choice.time.value * 1e6;
    const double rate = request.payload.value / choice.time.value * 1e-9;
    console.out << (is_csv
                        ? fmt::format("{:.0f},{},{},{:.3f},{:.4f},{:.4f}\n", request.payload.value,
                                      choice.algorithm->name, name_of(choice.protocol),
                                      microseconds, rate, rate * factor)
                        : fmt::format("{:>14.0f}  {:<22} {:<8} {:>12.1f} {:>10.2f} {:>10.2f}\n",
                                      request.payload.value, choice.algorithm->name,
                                      name_of(choice.protocol), microseconds, rate, rate * factor));
  }
  return kGood;
}

}  // namespace

std::function<int()> add_collective(CLI::App& app, Console& console) {
  auto options = std::make_shared<CollectiveArguments>();
  app.add_option("platform", options->platform, "A name in platforms/clusters, or a .toml")
      ->required();
  std::vector<std::string> kinds;
  kinds.reserve(kCollectiveKinds.size());
  for (const CollectiveKind kind : kCollectiveKinds) {
    kinds.emplace_back(name_of(kind));
  }
  app.add_option("--kind", options->kind, "What is carried out")
      ->check(CLI::IsMember(kinds))
      ->capture_default_str();
  app.add_option("--gpus", options->gpus, "Members of the group; one node's GPUs by default")
      ->check(CLI::Range(2, 10'000'000));
  app.add_option("--gpus-per-node", options->gpus_per_node, "Members on each node")
      ->check(CLI::Range(1, 1024));
  std::vector<std::string> algorithms;
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    algorithms.emplace_back(algorithm.name);
  }
  app.add_option("--algorithm", options->algorithm,
                 "Forces one; else the platform's library chooses")
      ->check(CLI::IsMember(algorithms));
  app.add_option("--from", options->first, "The smallest payload")->capture_default_str();
  app.add_option("--to", options->last, "The largest; each is twice the one before")
      ->capture_default_str();
  add_format_option(app, options->format, {"text", "csv"});
  return [options, &console] { return collective_command(*options, console); };
}

}  // namespace foretrain::cli
