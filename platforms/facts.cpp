// Lists every sourced number of a platform: for reports, and to tell what was never measured.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "platforms/cluster.hpp"
#include "platforms/names.hpp"

namespace foretrain {
namespace {

void append_flash(const std::map<FlashVersion, FlashFit>& fits, const std::string& direction,
                  std::vector<Fact>& facts) {
  for (const auto& [version, fit] : fits) {
    facts.push_back(fact("flash." + std::string(name_in(kFlashNames, version)) + "." + direction,
                         fit.efficiency));
    facts.back().value += " (tail " + show_number(fit.tail) + ")";
  }
}

void append_gemm(const Gpu& gpu, std::vector<Fact>& facts) {
  for (const auto& [dtype, fit] : gpu.gemm) {
    const std::string prefix = "gemm." + std::string(name_in(kDtypeNames, dtype)) + ".";
    facts.push_back(fact(prefix + "efficiency", fit.efficiency));
    facts.back().value +=
        " (k_fill " + show_number(fit.k_fill) + ", occupancy " + show_number(fit.occupancy) + ")";
    facts.push_back(fact(prefix + "bandwidth", fit.bandwidth));
    facts.push_back(fact(prefix + "floor", fit.floor));
  }
}

template <class T>
void append_known(const std::optional<T>& number, std::string name, std::vector<Fact>& facts) {
  if (number) {
    facts.push_back(fact(std::move(name), *number));
  }
}

void append_interconnect(const Interconnect& interconnect, const std::string& prefix,
                         std::vector<Fact>& facts) {
  facts.push_back(fact(prefix + "rate", interconnect.rate));
  facts.push_back(fact(prefix + "achieved", interconnect.achieved));
  append_known(interconnect.in_switch_reduction, prefix + "in_switch_reduction", facts);
  append_known(interconnect.half_rate_payload, prefix + "half_rate_payload", facts);
  facts.push_back(fact(prefix + "collective_latency", interconnect.collective_latency));
  append_known(interconnect.latency_multiplier, prefix + "latency_multiplier", facts);
  append_known(interconnect.hop_latency, prefix + "hop_latency", facts);
  append_known(interconnect.node_hop_latency, prefix + "node_hop_latency", facts);
  append_known(interconnect.low_latency_limit, prefix + "low_latency_limit", facts);
  facts.push_back(fact(prefix + "point_to_point_latency", interconnect.point_to_point_latency));
  append_known(interconnect.compute_share, prefix + "compute_share", facts);
}

void append_with_prefix(std::vector<Fact> facts, const std::string& prefix,
                        std::vector<Fact>& all) {
  for (Fact& each : facts) {
    each.name = prefix + each.name;
    all.push_back(std::move(each));
  }
}

}  // namespace

std::string show_number(double value) { return fmt::format("{:.4g}", value); }

Fact fact(std::string name, const Sourced<double>& number) {
  return {std::move(name), show_number(number.value), number.source, number.basis};
}

std::vector<Fact> facts(const Gpu& gpu) {
  std::vector<Fact> facts = {fact("memory", gpu.memory), fact("memory_rate", gpu.memory_rate)};
  for (const auto& [dtype, peak] : gpu.peak) {
    facts.push_back(fact("peak." + std::string(name_in(kDtypeNames, dtype)), peak));
  }
  append_gemm(gpu, facts);
  facts.push_back(fact("weight_gradient", gpu.weight_gradient));
  facts.push_back(fact("grouped_floor", gpu.grouped_floor));
  facts.push_back(fact("sustained", gpu.sustained));
  if (!gpu.flash_forward.empty()) {
    facts.push_back(fact("flash.floor", gpu.flash_floor));
  }
  append_flash(gpu.flash_forward, "forward", facts);
  append_flash(gpu.flash_backward, "backward", facts);
  facts.push_back(fact("memory_bound.floor", gpu.memory_floor));
  for (const auto& [op, share] : gpu.memory_share) {
    facts.push_back(fact("memory_bound." + std::string(name_in(kMemoryOpNames, op)), share));
  }
  for (const auto& [op, rate] : gpu.element_rate) {
    facts.push_back(
        fact("memory_bound.elements_per_clock." + std::string(name_in(kMemoryOpNames, op)), rate));
  }
  return facts;
}

std::vector<std::string> unmeasured(const std::vector<Fact>& facts) {
  std::vector<std::string> names;
  for (const Fact& each : facts) {
    if (each.basis == config::Basis::transferred || each.basis == config::Basis::assumed) {
      names.push_back(each.name);
    }
  }
  return names;
}

std::vector<std::string> unmeasured(const Gpu& gpu) { return unmeasured(facts(gpu)); }

std::string fact_table(const std::vector<Fact>& facts) {
  std::size_t name_width = 0;
  std::size_t value_width = 0;
  for (const Fact& each : facts) {
    name_width = std::max(name_width, each.name.size());
    value_width = std::max(value_width, each.value.size());
  }
  std::string text;
  for (const Fact& each : facts) {
    text += fmt::format("  {:<{}}  {:<{}}  {:<11}  {}\n", each.name, name_width, each.value,
                        value_width, config::name_of(each.basis), each.source);
  }
  return text;
}

namespace {

// Of one kind of node: its GPU and what joins them.
void append_kind(const Cluster& kind, const std::string& prefix, std::vector<Fact>& all) {
  if (kind.sustained) {
    all.push_back(fact(prefix + "sustained", *kind.sustained));
  }
  append_interconnect(kind.node, prefix + "node.", all);
  append_with_prefix(kind.node_wiring->facts(), prefix + "node.", all);
  if (kind.host) {
    append_with_prefix(facts(*kind.host), prefix + "host.", all);
  }
  for (Fact& each : facts(kind.gpu)) {
    if (kind.sustained && each.name == "sustained") {
      continue;  // the cluster's has replaced it
    }
    each.name = prefix + "gpu." + each.name;
    all.push_back(std::move(each));
  }
}

void append_fabric(const Cluster& cluster, std::vector<Fact>& all) {
  append_interconnect(cluster.fabric, "fabric.", all);
  append_with_prefix(cluster.fabric_wiring->facts(), "fabric.", all);
  for (const SlowPort& port : cluster.slow_ports) {
    all.push_back(fact(fmt::format("fabric.slow_ports.node {}{}", port.node,
                                   port.nic ? fmt::format(" nic {}", *port.nic) : ""),
                       port.rate));
  }
}

// Each line of a drawing under the line that names it.
std::string indented(const std::string& drawing) {
  std::string text;
  for (const char letter : drawing) {
    text += text.empty() || text.back() == '\n' ? "    " : "";
    text += letter;
  }
  return text;
}

void append_kind_drawing(const Cluster& kind, std::int64_t nodes, std::string& text) {
  text += fmt::format("  {} nodes of {} x {} ({} SMs), {} NICs; inside: {}\n", nodes,
                      kind.gpus_per_node, kind.gpu.name, kind.gpu.sms, kind.nics_per_node,
                      kind.node_wiring->name());
  text += indented(kind.node_wiring->drawing({static_cast<std::size_t>(kind.gpus_per_node),
                                              static_cast<std::size_t>(kind.nics_per_node)}));
}

}  // namespace

std::vector<Fact> facts(const Cluster& cluster) {
  std::vector<Fact> all;
  append_fabric(cluster, all);
  if (cluster.parts.empty()) {
    append_kind(cluster, "", all);
  }
  for (const ClusterPart& part : cluster.parts) {
    append_kind(*part.cluster, part.cluster->name + ": ", all);
  }
  return all;
}

std::string describe(const Machine& machine) {
  const Cluster& cluster = machine.cluster();
  const std::size_t nodes = machine.num_devices() / static_cast<std::size_t>(cluster.gpus_per_node);
  std::string text =
      fmt::format("{}: {} nodes, {} GPUs, {} links\n  {}\n", cluster.name, nodes,
                  machine.num_devices(), machine.network().links.size(), cluster.source);
  const auto counts = cluster.nodes_of_kinds(static_cast<std::int64_t>(nodes));
  const std::vector<const Cluster*> kinds = cluster.kinds();
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    append_kind_drawing(*kinds[i], counts[i], text);
  }
  text += fmt::format("  between nodes: {}\n", cluster.fabric_wiring->name());
  text += indented(
      cluster.fabric_wiring->drawing(nodes, static_cast<std::size_t>(cluster.nics_per_node)));
  return text + fact_table(facts(cluster));
}

}  // namespace foretrain
