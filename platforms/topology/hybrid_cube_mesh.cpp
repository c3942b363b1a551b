// DGX-1 with V100: two quads of GPUs and four links between them, a cube with the diagonals of two
// faces. Of the six NVLinks of a GPU two pairs lead to the same neighbour (NVIDIA DGX-1 with Tesla
// V100 whitepaper, 2017; `nvidia-smi topo -m` prints the same numbers of links). GPUs without a
// link reach each other over a third, as NCCL lets them.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include "platforms/wiring/graph_node.hpp"

namespace foretrain {
namespace {

struct Lanes {
  std::size_t a;
  std::size_t b;
  int count;
};

constexpr std::size_t kGpus = 8;
constexpr double kLanesOfGpu = 6;
constexpr std::array<Lanes, 16> kLanes = {{
    {0, 1, 1},
    {0, 2, 1},
    {0, 3, 2},
    {1, 2, 2},
    {1, 3, 1},
    {2, 3, 2},  // one quad
    {4, 5, 1},
    {4, 6, 1},
    {4, 7, 2},
    {5, 6, 2},
    {5, 7, 1},
    {6, 7, 2},  // the other
    {0, 4, 2},
    {1, 5, 2},
    {2, 6, 1},
    {3, 7, 1},  // between them
}};

}  // namespace

// No keys of its own: `rate` is that of all six links of a GPU.
std::shared_ptr<const NodeWiring> read_hybrid_cube_mesh(config::Reader& table, NodeSize size,
                                                        BytesPerSecond rate) {
  if (size.gpus != kGpus) {
    table.fail("topology",
               fmt::format("hybrid_cube_mesh joins 8 GPUs, but gpus_per_node = {}", size.gpus));
    return nvswitch();
  }
  LinkGraph graph({size.gpus, size.nics, 0, 0}, Forwarding::gpus_too);
  for (const Lanes& lanes : kLanes) {
    graph.join(gpu_vertex(lanes.a), gpu_vertex(lanes.b), rate * (lanes.count / kLanesOfGpu));
  }
  std::string drawing = link_matrix(graph);
  return wire({"hybrid_cube_mesh", std::move(graph), {}, std::move(drawing)});
}

}  // namespace foretrain
