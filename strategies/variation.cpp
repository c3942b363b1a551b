// SPDX-License-Identifier: Apache-2.0
#include "strategies/variation.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "platforms/fact.hpp"
#include "sim/core/suggest.hpp"

namespace foretrain {
namespace {

using config::Alias;
using config::Diagnostics;
using config::Range;
using config::Reader;
using Place = VariationPlaces::Place;

constexpr std::array<Alias, 7> kAliases = {{
    {"jitter", "kernel_jitter"},
    {"sigma", "kernel_jitter"},
    {"imbalance", "expert_imbalance"},
    {"load_imbalance", "expert_imbalance"},
    {"stragglers", "[[variation.gpus]]"},
    {"nodes", "[[variation.gpus]]"},
    {"nics", "[[variation.links]]"},
}};
constexpr std::array<Alias, 3> kGpuAliases = {{
    {"device", "gpu"},
    {"rate", "speed"},
    {"factor", "speed"},
}};
constexpr std::array<Alias, 4> kLinkAliases = {{
    {"name", "link"},
    {"rate", "capacity"},
    {"bandwidth", "capacity"},
    {"speed", "capacity"},
}};

constexpr Range kIndices{0, 10'000'000};
constexpr double kLeastShare = 0.01;  // a GPU or link that does less than this is broken
constexpr double kMostSpeed = 2;
constexpr double kMostImbalance = 2;  // at 2 one expert in forty is fifty times as popular
constexpr double kMostJitter = 1;     // at 1 one run of kernels in forty takes four times as long

double read_number(Reader& table, std::string_view key, double least, double most) {
  const double number = table.get<double>(key);
  if (table.has(key) && !(number >= least && number <= most)) {
    table.fail(key, fmt::format("expected a number from {} to {}, got {}", show_number(least),
                                show_number(most), show_number(number)));
    return most;
  }
  return number;
}

// A share that differs from 1.
double read_share(Reader& entry, std::string_view key, double most) {
  const std::size_t before = entry.diagnostics().size();
  const double share = read_number(entry, key, kLeastShare, most);
  if (share == 1 && entry.diagnostics().size() == before) {
    entry.fail(key, std::string(key) + " 1 has no effect; remove the entry");
  }
  return share;
}

GpuSpeed read_gpu_speed(Reader& entry) {
  GpuSpeed gpu;
  gpu.node = entry.count("node", kIndices);
  gpu.gpu = entry.maybe_count("gpu", kIndices);
  gpu.speed = read_share(entry, "speed", kMostSpeed);
  entry.finish(kGpuAliases);
  return gpu;
}

LinkCapacity read_link_capacity(Reader& entry) {
  LinkCapacity link;
  link.is_nic = entry.has("node") || entry.has("nic");
  if (link.is_nic) {
    link.node = entry.count("node", kIndices);
    link.nic = entry.count("nic", kIndices);
    link.name = fmt::format("node {} nic {}", link.node, link.nic);
    if (entry.has("link")) {
      entry.fail("link", "an entry names a link, or a NIC by node and nic, not both");
      entry.ignore("link");
    }
  } else if (entry.has("link")) {
    link.name = entry.get<std::string>("link");
  } else {
    entry.fail("link", "expected the name of a link, or node and nic");
  }
  link.capacity = read_share(entry, "capacity", 1);
  entry.finish(kLinkAliases);
  return link;
}

/// Devices of a run by node, in order.
using ByNode = std::vector<std::vector<DeviceId>>;

ByNode by_node(const Machine& machine) {
  ByNode nodes;
  for (std::size_t i = 0; i < machine.num_devices(); ++i) {
    const std::size_t node = machine.node_of(DeviceId(i));
    nodes.resize(std::max(nodes.size(), node + 1));
    nodes[node].push_back(DeviceId(i));
  }
  return nodes;
}

std::string up_to(std::size_t count) {
  return count == 1 ? "0 alone" : fmt::format("0 to {}", count - 1);
}

class Resolver {
 public:
  Resolver(const VariationPlaces& places, const Machine& machine, std::size_t num_gpus,
           Variation& variation, Diagnostics& diagnostics)
      : places_(places),
        machine_(machine),
        num_gpus_(num_gpus),
        nodes_(by_node(machine)),
        variation_(variation),
        diagnostics_(diagnostics) {}

  void gpus() {
    for (std::size_t i = 0; i < variation_.gpus.size(); ++i) {
      gpu(variation_.gpus[i], places_.gpus[i]);
    }
  }

  void links() {
    const std::vector<Link>& links = machine_.network().links;
    for (std::size_t i = 0; i < links.size() && !variation_.links.empty(); ++i) {
      links_.emplace(links[i].name, LinkId(i));
    }
    for (std::size_t i = 0; i < variation_.links.size(); ++i) {
      const LinkCapacity& entry = variation_.links[i];
      const std::vector<LinkId> found =
          entry.is_nic ? nic(entry, places_.links[i]) : link(entry, places_.links[i]);
      degrade(found, entry, places_.links[i]);
    }
  }

 private:
  void gpu(const GpuSpeed& entry, const Place& place) {
    if (!has_node(entry.node, place)) {
      return;
    }
    const std::vector<DeviceId>& devices = nodes_[static_cast<std::size_t>(entry.node)];
    if (entry.gpu.value_or(0) >= static_cast<std::int64_t>(devices.size())) {
      diagnostics_.add(place.position, place.key,
                       fmt::format("gpu {} does not exist: node {} has GPUs {}", *entry.gpu,
                                   entry.node, up_to(devices.size())));
      return;
    }
    for (const DeviceId device : devices) {
      const bool is_named =
          !entry.gpu || machine_.local_index(device) == static_cast<std::size_t>(*entry.gpu);
      if (is_named && device.index() < num_gpus_) {
        slow(device, entry, place);
      } else if (is_named && entry.gpu) {
        diagnostics_.add(
            place.position, place.key,
            fmt::format("gpu {} takes no part in a run of {} GPUs", *entry.gpu, num_gpus_));
      }
    }
  }

  void slow(DeviceId device, const GpuSpeed& entry, const Place& place) {
    if (!variation_.device_speeds.emplace(device, entry.speed).second) {
      diagnostics_.add(place.position, place.key,
                       fmt::format("node {} gpu {} has a speed already, from an entry above",
                                   entry.node, machine_.local_index(device)));
    }
  }

  bool has_node(std::int64_t node, const Place& place) {
    if (node < static_cast<std::int64_t>(nodes_.size())) {
      return true;
    }
    diagnostics_.add(place.position, place.key,
                     fmt::format("node {} does not exist: the nodes of this run are {}", node,
                                 up_to(nodes_.size())));
    return false;
  }

  // A NIC's links are those that are named after it: out and in.
  std::vector<LinkId> links_of(std::int64_t node, std::int64_t nic) const {
    const std::string name = fmt::format("node {} nic {} ", node, nic);
    std::vector<LinkId> found;
    for (auto next = links_.lower_bound(name);
         next != links_.end() && next->first.starts_with(name); ++next) {
      found.push_back(next->second);
    }
    return found;
  }

  std::vector<LinkId> nic(const LinkCapacity& entry, const Place& place) {
    if (!has_node(entry.node, place)) {
      return {};
    }
    std::vector<LinkId> found = links_of(entry.node, entry.nic);
    if (found.empty()) {
      std::int64_t nics = 0;
      while (!links_of(entry.node, nics).empty()) {
        ++nics;
      }
      diagnostics_.add(place.position, place.key,
                       fmt::format("nic {} does not exist: node {} has NICs {}", entry.nic,
                                   entry.node, up_to(static_cast<std::size_t>(nics))));
    }
    return found;
  }

  std::vector<LinkId> link(const LinkCapacity& entry, const Place& place) {
    const auto found = links_.find(entry.name);
    if (found != links_.end()) {
      return {found->second};
    }
    std::vector<std::string> names;
    names.reserve(links_.size());
    for (const auto& [name, id] : links_) {
      names.push_back(name);
    }
    const auto near = nearest(entry.name, names);
    diagnostics_.add(place.position, place.key,
                     fmt::format("no link of this platform is called '{}'{}", entry.name,
                                 near ? "; did you mean '" + *near + "'?" : ""));
    return {};
  }

  void degrade(const std::vector<LinkId>& found, const LinkCapacity& entry, const Place& place) {
    bool is_crossed = found.empty();
    for (const LinkId id : found) {
      is_crossed = is_crossed || may_be_crossed(id);
      if (!variation_.link_capacities.emplace(id, entry.capacity).second) {
        diagnostics_.add(place.position, place.key,
                         fmt::format("{} has a capacity already, from an entry above",
                                     machine_.network().links[id.index()].name));
      }
    }
    if (!is_crossed) {
      diagnostics_.add(place.position, place.key,
                       fmt::format("{} has no effect: nothing between the {} GPUs of this "
                                   "run crosses it",
                                   entry.name, num_gpus_));
    }
  }

  // Whether any pair of GPUs may use a link; looked up where there are few of them, above all
  // where a run fits into a node and needs no NIC.
  bool may_be_crossed(LinkId link) {
    constexpr std::size_t kFew = 128;
    if (num_gpus_ > kFew) {
      return true;
    }
    if (crossed_.empty()) {
      std::vector<LinkId> route;
      for (std::size_t from = 0; from < num_gpus_; ++from) {
        for (std::size_t to = 0; to < num_gpus_; ++to) {
          if (from != to) {
            route.clear();
            machine_.append_route(DeviceId(from), DeviceId(to), route);
            crossed_.insert(route.begin(), route.end());
          }
        }
      }
    }
    return crossed_.contains(link);
  }

  const VariationPlaces& places_;
  const Machine& machine_;
  std::size_t num_gpus_;
  ByNode nodes_;
  std::map<std::string, LinkId> links_;  // by name
  std::set<LinkId> crossed_;
  Variation& variation_;
  Diagnostics& diagnostics_;
};

}  // namespace

std::string GpuSpeed::name() const {
  return gpu ? fmt::format("node {} gpu {}", node, *gpu) : fmt::format("node {}", node);
}

Variation read_variation(Reader reader, VariationPlaces& places) {
  Variation variation;
  const bool has_jitter = reader.has("kernel_jitter");
  if (has_jitter) {
    variation.kernel_jitter = read_number(reader, "kernel_jitter", 0, kMostJitter);
  }
  variation.seed = static_cast<std::uint64_t>(
      reader.count("seed", 0, Range{0, std::numeric_limits<std::int64_t>::max()}));
  if (reader.has("expert_imbalance")) {
    variation.expert_imbalance = read_number(reader, "expert_imbalance", 0, kMostImbalance);
    places.expert_imbalance = reader.position_of("expert_imbalance");
  }
  if (reader.has("seed") && !has_jitter && !reader.has("expert_imbalance")) {
    reader.fail("seed", "has no effect without kernel_jitter or expert_imbalance; remove it");
  }
  for (Reader& entry : reader.children("gpus")) {
    places.gpus.push_back({entry.path(), entry.position()});
    variation.gpus.push_back(read_gpu_speed(entry));
  }
  for (Reader& entry : reader.children("links")) {
    places.links.push_back({entry.path(), entry.position()});
    variation.links.push_back(read_link_capacity(entry));
  }
  reader.finish(kAliases);
  return variation;
}

void resolve_variation(const VariationPlaces& places, const Machine& machine, std::size_t num_gpus,
                       Variation& variation, Diagnostics& diagnostics) {
  Resolver resolver(places, machine, num_gpus, variation, diagnostics);
  resolver.gpus();
  resolver.links();
}

std::vector<std::string> describe(const Variation& variation) {
  std::vector<std::string> lines;
  if (variation.kernel_jitter > 0) {
    lines.push_back(fmt::format("every run of kernels times a lognormal factor, sigma {}, seed {}",
                                show_number(variation.kernel_jitter), variation.seed));
  }
  if (variation.expert_imbalance > 0) {
    lines.push_back(fmt::format("experts' popularity lognormal, sigma {}, seed {}",
                                show_number(variation.expert_imbalance), variation.seed));
  }
  for (const GpuSpeed& gpu : variation.gpus) {
    lines.push_back(
        fmt::format("{} at {} of its compute rate", gpu.name(), show_number(gpu.speed)));
  }
  for (const LinkCapacity& link : variation.links) {
    lines.push_back(fmt::format("{} at {} of its capacity", link.name, show_number(link.capacity)));
  }
  return lines;
}

}  // namespace foretrain
