// One rank, group, channel, flow and link for each class of a partition, with weighted routes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/lump/lump.hpp"
#include "sim/lump/program_graph.hpp"

namespace foretrain {

/// REQUIRES: `partition` is an equitable partition of graph.graph(), and `graph` was built from
/// `program` and `costs`; `views` are those of the partition.
[[nodiscard]] Lumped quotient(const Program& program, const CostModel& costs,
                              const ProgramGraph& graph, const Partition& partition,
                              const Views& views);

}  // namespace foretrain
