// Every two GPUs of a node have links of their own, and the same number of them: xGMI of eight
// MI300X, NVLink of four A100.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "platforms/wiring/graph_node.hpp"

namespace foretrain {

// No keys of its own: `rate` is that of all links of a GPU.
std::shared_ptr<const NodeWiring> read_full_mesh(config::Reader& table, NodeSize size,
                                                 BytesPerSecond rate) {
  if (size.gpus < 2 || size.gpus > kMostWiredGpus) {
    table.fail("topology", fmt::format("full_mesh joins 2 to {} GPUs, but gpus_per_node = {}",
                                       kMostWiredGpus, size.gpus));
    return nvswitch();
  }
  LinkGraph graph({size.gpus, size.nics, 0, 0}, Forwarding::switches_only);
  const BytesPerSecond of_pair = rate / static_cast<double>(size.gpus - 1);
  for (std::size_t a = 0; a < size.gpus; ++a) {
    for (std::size_t b = a + 1; b < size.gpus; ++b) {
      graph.join(gpu_vertex(a), gpu_vertex(b), of_pair);
    }
  }
  std::string drawing = fmt::format("{} each way between every two GPUs\n", config::show(of_pair)) +
                        link_matrix(graph);
  return wire({"full_mesh", std::move(graph), {}, std::move(drawing)});
}

}  // namespace foretrain
