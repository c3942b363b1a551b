// GPUs and NICs on PCIe, under switches or straight on the root complex of their socket; some GPUs
// in pairs with an NVLink bridge, as A40 and RTX A6000 can be.
//
// What goes from a GPU to a NIC under the same switch uses their two links and no other; to another
// socket it goes through both switches' uplinks and the link between the sockets.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "platforms/wiring/graph_node.hpp"

namespace foretrain {
namespace {

using config::Reader;
using config::Sourced;

struct Shape {
  std::size_t sockets = 1;
  std::size_t switches_per_socket = 0;
  std::size_t nvlink_pairs = 0;
  std::optional<Sourced<BytesPerSecond>> socket_rate;
  std::optional<Sourced<BytesPerSecond>> switch_uplink_rate;
  std::optional<Sourced<BytesPerSecond>> pair_rate;

  [[nodiscard]] std::size_t switches() const { return sockets * switches_per_socket; }
  /// Where GPUs and NICs hang: switches, or sockets without.
  [[nodiscard]] std::size_t leaves() const {
    return sockets * std::max<std::size_t>(switches_per_socket, 1);
  }
  [[nodiscard]] Vertex leaf(std::size_t index) const {
    return switches_per_socket > 0 ? switch_vertex(index) : cpu_vertex(index);
  }
};

// A rate that is needed exactly where the node has such links.
std::optional<Sourced<BytesPerSecond>> read_rate(Reader& table, const char* key, bool is_needed,
                                                 const char* else_refused_because) {
  if (!is_needed && !table.has(key)) {
    return std::nullopt;
  }
  auto rate = table.get<Sourced<BytesPerSecond>>(key);
  if (!is_needed) {
    table.fail(key, else_refused_because);
  } else if (table.has(key) && rate.value <= BytesPerSecond(0)) {
    table.fail(key, "expected a rate greater than zero");
  }
  return rate;
}

Shape read_shape(Reader& table, NodeSize size) {
  Shape shape;
  const auto most = static_cast<std::int64_t>(kMostWiredGpus);
  const auto gpus = static_cast<std::int64_t>(size.gpus);
  shape.sockets = static_cast<std::size_t>(table.count("sockets", config::Range{1, 8}));
  shape.switches_per_socket =
      static_cast<std::size_t>(table.count("switches_per_socket", config::Range{0, most}));
  shape.nvlink_pairs =
      static_cast<std::size_t>(table.count("nvlink_pairs", 0, config::Range{1, gpus / 2}));
  shape.socket_rate = read_rate(table, "socket_rate", shape.sockets > 1,
                                "sockets = 1: there is no link between sockets");
  shape.switch_uplink_rate =
      read_rate(table, "switch_uplink_rate", shape.switches_per_socket > 0,
                "switches_per_socket = 0: GPUs hang on the root complex, and there is no uplink");
  shape.pair_rate = read_rate(table, "pair_rate", shape.nvlink_pairs > 0,
                              "no pair has a bridge: say how many with nvlink_pairs");
  return shape;
}

// The leaf of each of `count` things, which are spread evenly and in order.
std::size_t leaf_of(std::size_t index, std::size_t count, const Shape& shape) {
  return index * shape.leaves() / count;
}

LinkGraph graph_of(const Shape& shape, NodeSize size, BytesPerSecond rate) {
  LinkGraph graph({size.gpus, size.nics, shape.switches(), shape.sockets},
                  Forwarding::switches_only);
  for (std::size_t gpu = 0; gpu < size.gpus; ++gpu) {
    graph.join(gpu_vertex(gpu), shape.leaf(leaf_of(gpu, size.gpus, shape)), rate);
  }
  for (std::size_t nic = 0; nic < size.nics; ++nic) {
    graph.join(nic_vertex(nic), shape.leaf(leaf_of(nic, size.nics, shape)), rate);
  }
  for (std::size_t i = 0; i < shape.switches(); ++i) {
    graph.join(switch_vertex(i), cpu_vertex(i / shape.switches_per_socket),
               shape.switch_uplink_rate->value);
  }
  for (std::size_t a = 0; a < shape.sockets; ++a) {
    for (std::size_t b = a + 1; b < shape.sockets; ++b) {
      graph.join(cpu_vertex(a), cpu_vertex(b), shape.socket_rate->value);
    }
  }
  for (std::size_t pair = 0; pair < shape.nvlink_pairs; ++pair) {
    graph.join(gpu_vertex(2 * pair), gpu_vertex(2 * pair + 1), shape.pair_rate->value);
  }
  return graph;
}

std::string leaf_line(std::size_t leaf, const Shape& shape, NodeSize size) {
  std::string line;
  for (std::size_t gpu = 0; gpu < size.gpus; ++gpu) {
    if (leaf_of(gpu, size.gpus, shape) == leaf) {
      line += fmt::format("{}gpu {}", line.empty() ? "" : ", ", gpu);
    }
  }
  for (std::size_t nic = 0; nic < size.nics; ++nic) {
    if (leaf_of(nic, size.nics, shape) == leaf) {
      line += fmt::format("{}nic {}", line.empty() ? "" : ", ", nic);
    }
  }
  return line + "\n";
}

std::string drawing_of(const Shape& shape, NodeSize size, BytesPerSecond rate) {
  std::string text = fmt::format("PCIe, {} each way to each GPU and NIC\n", config::show(rate));
  for (std::size_t socket = 0; socket < shape.sockets; ++socket) {
    text += fmt::format("socket {}\n", socket);
    if (shape.switches_per_socket == 0) {
      text += "  " + leaf_line(socket, shape, size);
    }
    for (std::size_t i = 0; i < shape.switches_per_socket; ++i) {
      const std::size_t leaf = socket * shape.switches_per_socket + i;
      text +=
          fmt::format("  switch {}, uplink {}\n    {}", leaf,
                      config::show(shape.switch_uplink_rate->value), leaf_line(leaf, shape, size));
    }
  }
  if (shape.socket_rate) {
    text += fmt::format("between sockets {} each way\n", config::show(shape.socket_rate->value));
  }
  if (shape.pair_rate) {
    text += fmt::format("NVLink bridge, {} each way, between the two of each pair up to gpu {}\n",
                        config::show(shape.pair_rate->value), 2 * shape.nvlink_pairs - 1);
  }
  return text;
}

std::vector<Fact> facts_of(const Shape& shape) {
  std::vector<Fact> facts;
  if (shape.socket_rate) {
    facts.push_back(fact("socket_rate", *shape.socket_rate));
  }
  if (shape.switch_uplink_rate) {
    facts.push_back(fact("switch_uplink_rate", *shape.switch_uplink_rate));
  }
  if (shape.pair_rate) {
    facts.push_back(fact("pair_rate", *shape.pair_rate));
  }
  return facts;
}

}  // namespace

// sockets, switches_per_socket (0: none), socket_rate, switch_uplink_rate; nvlink_pairs and
// pair_rate of bridges between GPUs 0 and 1, 2 and 3, and so on. `rate` is that of one PCIe slot.
std::shared_ptr<const NodeWiring> read_pcie_tree(Reader& table, NodeSize size,
                                                 BytesPerSecond rate) {
  const std::size_t mistakes = table.diagnostics().size();
  const Shape shape = read_shape(table, size);
  if (size.gpus > kMostWiredGpus) {
    table.fail("topology", fmt::format("pcie_tree holds at most {} GPUs, but gpus_per_node = {}",
                                       kMostWiredGpus, size.gpus));
  }
  if (table.diagnostics().size() != mistakes) {
    return nvswitch();
  }
  LinkGraph graph = graph_of(shape, size, rate);
  if (const std::string mistake = mistake_in(graph); !mistake.empty()) {
    table.fail("topology", mistake);
    return nvswitch();
  }
  return wire(
      {"pcie_tree", std::move(graph), facts_of(shape), drawing_of(shape, size, rate), true});
}

}  // namespace foretrain
