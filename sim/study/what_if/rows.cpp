// The table of hardware that --what-if can change: add a row here and its function above.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "sim/config/catalogue.hpp"
#include "sim/config/text.hpp"
#include "sim/core/error.hpp"
#include "sim/study/what_if/hardware.hpp"

namespace foretrain {
namespace {

using config::Array;
using config::Value;

bool starts_with_any(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.starts_with(word); });
}

/// A quantity as a file has it, bare or with its origin.
BytesPerSecond rate_in(const Value& entry, std::string_view key) {
  const Value* value = entry_of(entry, key);
  if (value != nullptr && value->table() != nullptr) {
    value = entry_of(*value, "value");
  }
  FORETRAIN_ASSERT(value != nullptr, "a file that was read without a mistake lacks a rate");
  return *config::parse_quantity<BytesPerSecond>(std::get<std::string>(value->data));
}

double number_at(const Value& entry, std::string_view key) {
  const Value* value = entry_of(entry, key);
  if (value != nullptr && value->table() != nullptr) {
    value = entry_of(*value, "value");
  }
  FORETRAIN_ASSERT(value != nullptr, "a file that was read without a mistake lacks a number");
  const auto* const whole = std::get_if<std::int64_t>(&value->data);
  return whole != nullptr ? static_cast<double>(*whole) : std::get<double>(value->data);
}

void change_gpu(Hardware& hardware, const Amount& amount) {
  if (amount.factor) {
    refuse(amount, "expected the name of a GPU such as h200-sxm, got a factor");
  }
  Gpu gpu;
  try {
    gpu = load_gpu(hardware.sources(), amount.text, hardware.platforms());
  } catch (const ConfigError& error) {
    refuse(amount, error.diagnostics().front().message);
  }
  for (NodeFiles* const kind : hardware.kinds()) {
    hardware.note("gpu", kind->cluster->gpu.name, gpu.name);
    put(kind->platform, "gpu", {{}, amount.text});
    // What this site's clocks and power do to its GPU says nothing of another one.
    put(kind->gpu, "sustained.value", {{}, gpu.sustained.value});
    put(kind->gpu, "sustained.basis", {{}, std::string(config::name_of(gpu.sustained.basis))});
    put(kind->gpu, "sustained.source", {{}, gpu.sustained.source});
  }
}

void change_flops(Hardware& hardware, const Amount& amount) {
  const double factor = pure_factor(amount, "a GPU has a peak for each precision");
  for (NodeFiles* const kind : hardware.kinds()) {
    Amount same = amount;
    same.factor = factor;
    for (const auto& [dtype, peak] : kind->cluster->gpu.peak) {
      hardware.change(kind->gpu, fmt::format("peak.{}", name_of(dtype)), peak.value, same);
    }
  }
}

void change_hbm(Hardware& hardware, const Amount& amount) {
  for (NodeFiles* const kind : hardware.kinds()) {
    hardware.change(kind->gpu, "memory_rate", kind->cluster->gpu.memory_rate.value, amount);
  }
}

void change_hbm_size(Hardware& hardware, const Amount& amount) {
  for (NodeFiles* const kind : hardware.kinds()) {
    hardware.change(kind->gpu, "memory", kind->cluster->gpu.memory.value, amount);
  }
}

// Links of a node that is wired one by one: those between GPUs, and from them to switches and
// processors.
void change_wired(Hardware& hardware, NodeFiles& kind, const Amount& amount) {
  Value links = *entry_of(*entry_of(kind.file, "node"), "links");
  for (Value& entry : std::get<Array>(links.data)) {
    const auto& a = std::get<std::string>(entry_of(entry, "between")->data);
    const auto& b = std::get<std::string>(entry_of(entry, "and")->data);
    const bool is_of_gpus = starts_with_any(a, {"gpu"}) || starts_with_any(b, {"gpu"});
    if (is_of_gpus && !starts_with_any(a, {"nic"}) && !starts_with_any(b, {"nic"})) {
      hardware.change_entry(entry, fmt::format("node.links.{} to {}", a, b), rate_in(entry, "rate"),
                            amount);
    }
  }
  put(kind.platform, "node.links", std::move(links));
}

void change_nvlink(Hardware& hardware, const Amount& amount) {
  for (NodeFiles* const kind : hardware.kinds()) {
    const Cluster& cluster = *kind->cluster;
    const Value& node = *entry_of(kind->file, "node");
    Amount relative = amount;
    relative.factor = factor_of(cluster.node.rate.value, amount);
    if (cluster.node_wiring->is_pcie()) {
      if (entry_of(node, "pair_rate") == nullptr) {
        refuse(amount, "the GPUs of a node of '" + cluster.name +
                           "' have no links of their own: they are joined by PCIe (pcie=...)");
      }
      hardware.change(kind->platform, "node.pair_rate", rate_in(node, "pair_rate"), amount);
      continue;
    }
    hardware.change(kind->platform, "node.rate", cluster.node.rate.value, relative);
    if (entry_of(node, "links") != nullptr) {
      change_wired(hardware, *kind, relative);
    }
  }
}

// PCIe between GPUs, and between a GPU and its host where something is offloaded.
void change_pcie(Hardware& hardware, const Amount& amount) {
  const double factor = pure_factor(amount, "a node has several kinds of such links");
  Amount same = amount;
  same.factor = factor;
  bool has_any = false;
  for (NodeFiles* const kind : hardware.kinds()) {
    const Value& node = *entry_of(kind->file, "node");
    if (kind->cluster->node_wiring->is_pcie()) {
      hardware.change(kind->platform, "node.rate", kind->cluster->node.rate.value, same);
      has_any = true;
      if (entry_of(node, "switch_uplink_rate") != nullptr) {
        hardware.change(kind->platform, "node.switch_uplink_rate",
                        rate_in(node, "switch_uplink_rate"), same);
      }
    }
    const Value* const host = entry_of(kind->file, "host");
    for (const char* key : {"link_rate", "uplink_rate"}) {
      if (host != nullptr && entry_of(*host, key) != nullptr) {
        hardware.change(kind->platform, fmt::format("host.{}", key), rate_in(*host, key), same);
        has_any = true;
      }
    }
  }
  if (!has_any) {
    refuse(amount, "the file of '" + hardware.cluster().name + "' has no PCIe links");
  }
}

void change_nic(Hardware& hardware, const Amount& amount) {
  const Cluster& cluster = hardware.cluster();
  NodeFiles& whole = hardware.whole();
  Amount relative = amount;
  relative.factor = factor_of(cluster.fabric.rate.value, amount);
  hardware.change(whole.platform, "fabric.rate", cluster.fabric.rate.value, relative);
  for (NodeFiles* const kind : hardware.kinds()) {
    if (kind != &whole) {  // a NIC goes no faster than its part's file says
      hardware.change(kind->platform, "fabric.rate", kind->cluster->fabric.rate.value, amount);
    }
  }
  if (const Value* const list = entry_of(*entry_of(whole.file, "fabric"), "slow_ports")) {
    Value ports = *list;
    for (Value& entry : std::get<Array>(ports.data)) {
      hardware.change_entry(entry, "fabric.slow_ports", rate_in(entry, "rate"), relative);
    }
    put(whole.platform, "fabric.slow_ports", std::move(ports));
  }
}

void change_slow_port(Hardware& hardware, const Amount& amount) {
  NodeFiles& whole = hardware.whole();
  const Value* const list = entry_of(*entry_of(whole.file, "fabric"), "slow_ports");
  if (list == nullptr) {
    refuse(amount, "'" + hardware.cluster().name + "' has no port that is slower than the others");
  }
  Value ports = *list;
  for (Value& entry : std::get<Array>(ports.data)) {
    hardware.change_entry(entry, "fabric.slow_ports", rate_in(entry, "rate"), amount);
  }
  put(whole.platform, "fabric.slow_ports", std::move(ports));
}

// Levels of a fat tree with `after(level's oversubscription)`; the list is replaced as a whole.
template <class After>
void change_levels(Hardware& hardware, std::size_t first, After after) {
  NodeFiles& whole = hardware.whole();
  Value levels = *entry_of(*entry_of(whole.file, "fabric"), "levels");
  auto& list = std::get<Array>(levels.data);
  for (std::size_t i = first; i < list.size(); ++i) {
    const double before = number_at(list[i], "oversubscription");
    const double wanted = after(before);
    if (wanted != before) {
      const std::string name = std::get<std::string>(entry_of(list[i], "name")->data);
      hardware.change_number(list[i], "oversubscription", before, wanted);
    }
  }
  put(whole.platform, "fabric.levels", std::move(levels));
}

constexpr double kFull = 1.0;  // capacity up equals capacity down

void change_spine(Hardware& hardware, const Amount& amount) {
  const double factor = pure_factor(amount, "a spine is many links");
  NodeFiles& whole = hardware.whole();
  const Value& fabric = *entry_of(whole.file, "fabric");
  Amount same = amount;
  same.factor = factor;
  for (const char* key : {"link_rate", "backplane"}) {
    if (entry_of(fabric, key) != nullptr) {
      hardware.change(whole.platform, fmt::format("fabric.{}", key), rate_in(fabric, key), same);
      return;
    }
  }
  if (const Value* const levels = entry_of(fabric, "levels")) {
    const auto& list = std::get<Array>(levels->data);
    const bool is_narrow = std::any_of(list.begin(), list.end(), [](const Value& level) {
      return number_at(level, "oversubscription") > kFull;
    });
    if (is_narrow || factor < 1) {
      change_levels(hardware, is_narrow ? 0 : list.size() - 1, [&](double before) {
        return is_narrow && before <= kFull ? before : std::max(kFull, before / factor);
      });
      return;
    }
  }
  refuse(amount, "no link above the NICs of '" + hardware.cluster().name + "' is ever full");
}

void change_oversubscription(Hardware& hardware, const Amount& amount) {
  const Value& fabric = *entry_of(hardware.whole().file, "fabric");
  const Value* const levels = entry_of(fabric, "levels");
  if (levels == nullptr) {
    refuse(amount, "the fabric of '" + hardware.cluster().name +
                       "' has no levels to be oversubscribed: it is no fat_tree");
  }
  const std::size_t top = std::get<Array>(levels->data).size() - 1;
  change_levels(hardware, top, [&](double before) {
    return amount.factor ? std::max(kFull, before * *amount.factor)
                         : static_cast<double>(count_of(1, amount));
  });
}

void scale_latencies(Hardware& hardware, NodeFiles& files, const Interconnect& interconnect,
                     const std::string& table, const Amount& amount) {
  const auto scale = [&](const char* key, Seconds before) {
    if (before > Seconds(0)) {
      hardware.change(files.platform, table + "." + key, before, amount);
    }
  };
  scale("collective_latency", interconnect.collective_latency.value);
  scale("point_to_point_latency", interconnect.point_to_point_latency.value);
  if (interconnect.hop_latency) {
    scale("hop_latency", interconnect.hop_latency->value);
  }
  if (interconnect.node_hop_latency) {
    scale("node_hop_latency", interconnect.node_hop_latency->value);
  }
  if (interconnect.latency_multiplier) {
    const double before = interconnect.latency_multiplier->value;
    hardware.change_number(files.platform, table + ".latency_multiplier", before,
                           before * *amount.factor);
  }
}

void change_latency(Hardware& hardware, const Amount& amount) {
  static_cast<void>(pure_factor(amount, "messages and collectives have several latencies"));
  scale_latencies(hardware, hardware.whole(), hardware.cluster().fabric, "fabric", amount);
  for (NodeFiles* const kind : hardware.kinds()) {
    scale_latencies(hardware, *kind, kind->cluster->node, "node", amount);
  }
}

void change_gpus_per_node(Hardware& hardware, const Amount& amount) {
  for (NodeFiles* const kind : hardware.kinds()) {
    const std::int64_t before = kind->cluster->gpus_per_node;
    const std::int64_t after = count_of(before, amount);
    const std::int64_t nics = kind->cluster->nics_per_node * after;
    if (nics % before != 0) {
      refuse(amount, fmt::format("{} NICs for {} GPUs make no whole number of NICs for {}",
                                 kind->cluster->nics_per_node, before, after));
    }
    hardware.note("gpus_per_node", std::to_string(before), std::to_string(after));
    hardware.note("nics_per_node", std::to_string(kind->cluster->nics_per_node),
                  std::to_string(nics / before));
    put(kind->platform, "gpus_per_node", {{}, after});
    put(kind->platform, "nics_per_node", {{}, nics / before});
  }
}

void change_nodes(Hardware& hardware, const Amount& amount) {
  const std::int64_t after = count_of(hardware.nodes(), amount);
  hardware.note("nodes", std::to_string(hardware.nodes()), std::to_string(after));
  hardware.set_nodes(after);
}

// clang-format off
constexpr std::array<WhatIfRow, 13> kRows = {{
    {"gpu",              "another GPU in the same nodes, by its name",                       "h200-sxm", change_gpu},
    {"gpus_per_node",    "GPUs of a node, with NICs in proportion",                          "2x",       change_gpus_per_node},
    {"nodes",            "nodes of the run",                                                 "2x",       change_nodes},
    {"flops",            "peak rates of the GPU at every precision",                         "2x",       change_flops},
    {"hbm",              "rate of the GPU's memory",                                         "+50%",     change_hbm},
    {"hbm_size",         "size of the GPU's memory",                                         "141GB",    change_hbm_size},
    {"nvlink",           "rate between the GPUs of a node, per GPU and direction",           "900GB/s",  change_nvlink},
    {"pcie",             "PCIe between GPUs, and between GPUs and their host",               "2x",       change_pcie},
    {"nic",              "rate of every NIC and its port, per direction",                    "400Gb/s",  change_nic},
    {"slow_port",        "rate of the ports that are slower than the others",                "200Gb/s",  change_slow_port},
    {"spine",            "capacity above the NICs: links between switches, narrow levels",   "2x",       change_spine},
    {"oversubscription", "capacity down over capacity up at the top level of a fat tree",    "1",        change_oversubscription},
    {"latency",          "every latency of messages and collectives",                        "0.5x",     change_latency},
}};
// clang-format on

}  // namespace

std::span<const WhatIfRow> what_if_rows() { return kRows; }

}  // namespace foretrain
