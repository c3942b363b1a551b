// SPDX-License-Identifier: Apache-2.0
#include "platforms/host.hpp"

#include <fmt/format.h>

namespace foretrain {
namespace {

using config::Range;
using config::Reader;

Sourced<BytesPerSecond> read_rate(Reader& table, const char* key) {
  auto rate = table.get<Sourced<BytesPerSecond>>(key);
  if (table.has(key) && rate.value <= BytesPerSecond(0)) {
    table.fail(key, "expected a rate greater than zero");
  }
  return rate;
}

void check_divides(Reader& table, const char* key, std::int64_t count, std::int64_t gpus) {
  if (gpus % count != 0) {
    table.fail(key, fmt::format("{} does not divide the {} GPUs of a node", count, gpus));
  }
}

void read_links(Reader& table, std::int64_t gpus, const NodeWiring& wiring, Host& host) {
  if (!wiring.joins_host()) {
    host.link_rate = read_rate(table, "link_rate");
  } else if (table.has("link_rate")) {
    table.fail("link_rate", fmt::format("has no effect: topology {} has the links between GPUs and "
                                        "processors; remove it",
                                        wiring.name()));
    table.ignore("link_rate");
  }
  if (table.has("uplink_rate") && !wiring.joins_host()) {
    host.uplink_rate = read_rate(table, "uplink_rate");
    host.gpus_per_uplink = table.count("gpus_per_uplink", Range{1, gpus});
    check_divides(table, "gpus_per_uplink", host.gpus_per_uplink, gpus);
  }
}

}  // namespace

Host read_host(Reader table, NodeSize size, const NodeWiring& wiring) {
  Host host;
  const auto gpus = static_cast<std::int64_t>(size.gpus);
  host.memory = table.get<Sourced<Bytes>>("memory");
  if (table.has("memory") && host.memory.value <= Bytes(0)) {
    table.fail("memory", "expected a size greater than zero");
  }
  host.memory_rate = read_rate(table, "memory_rate");
  if (table.has("optimizer_rate")) {
    host.optimizer_rate = read_rate(table, "optimizer_rate");
  }
  read_links(table, gpus, wiring, host);
  host.memories = table.count("memories", 1, Range{1, gpus});
  check_divides(table, "memories", host.memories, gpus);
  table.finish();
  return host;
}

std::vector<Fact> facts(const Host& host) {
  std::vector<Fact> facts = {fact("memory", host.memory), fact("memory_rate", host.memory_rate)};
  if (host.optimizer_rate) {
    facts.push_back(fact("optimizer_rate", *host.optimizer_rate));
  }
  if (host.link_rate) {
    facts.push_back(fact("link_rate", *host.link_rate));
  }
  if (host.uplink_rate) {
    facts.push_back(fact("uplink_rate", *host.uplink_rate));
  }
  return facts;
}

HostLinks::HostLinks(const Host& host, const NodePlace& place, const NodeTopology& node,
                     Network& network)
    : node_(node),
      has_ports_(host.link_rate.has_value()),
      has_uplinks_(host.uplink_rate.has_value()),
      gpus_per_uplink_(static_cast<std::size_t>(host.gpus_per_uplink)),
      gpus_per_memory_(place.size.gpus / static_cast<std::size_t>(host.memories)) {
  const auto add_both_ways = [&](const std::string& name, BytesPerSecond rate) {
    (void)add_link(network, fmt::format("node {} {} to host", place.node, name), rate);
    (void)add_link(network, fmt::format("node {} {} from host", place.node, name), rate);
  };
  first_port_ = network.links.size();
  for (std::size_t gpu = 0; gpu < place.size.gpus && has_ports_; ++gpu) {
    add_both_ways(fmt::format("gpu {}", gpu), host.link_rate->value);
  }
  first_uplink_ = network.links.size();
  for (std::size_t i = 0; i < place.size.gpus / gpus_per_uplink_ && has_uplinks_; ++i) {
    add_both_ways(fmt::format("uplink {}", i), host.uplink_rate->value);
  }
  first_memory_ = network.links.size();
  const auto share = static_cast<double>(host.memories);
  const BytesPerSecond optimizer_rate =
      host.optimizer_rate ? host.optimizer_rate->value : host.memory_rate.value;
  for (std::int64_t i = 0; i < host.memories; ++i) {
    (void)add_link(network, fmt::format("node {} memory {}", place.node, i),
                   host.memory_rate.value / share);
    (void)add_link(network, fmt::format("node {} processors {}", place.node, i),
                   optimizer_rate / share);
  }
}

void HostLinks::append_to_host(std::size_t gpu, std::vector<LinkId>& links) const {
  node_.append_to_host(gpu, links);
  append_port_out(gpu, links);
  if (has_uplinks_) {
    links.push_back(LinkId(first_uplink_ + 2 * (gpu / gpus_per_uplink_)));
  }
  links.push_back(memory_of(gpu));
}

void HostLinks::append_from_host(std::size_t gpu, std::vector<LinkId>& links) const {
  links.push_back(memory_of(gpu));
  if (has_uplinks_) {
    links.push_back(LinkId(first_uplink_ + 2 * (gpu / gpus_per_uplink_) + 1));
  }
  append_port_in(gpu, links);
  node_.append_from_host(gpu, links);
}

void HostLinks::append_inside(std::size_t gpu, std::vector<LinkId>& links) const {
  links.push_back(memory_of(gpu));
  links.push_back(LinkId(memory_of(gpu).index() + 1));
}

void HostLinks::append_port_out(std::size_t gpu, std::vector<LinkId>& links) const {
  if (has_ports_) {
    links.push_back(LinkId(first_port_ + 2 * gpu));
  }
}

void HostLinks::append_port_in(std::size_t gpu, std::vector<LinkId>& links) const {
  if (has_ports_) {
    links.push_back(LinkId(first_port_ + 2 * gpu + 1));
  }
}

}  // namespace foretrain
