// Why ranks that run the same body are not simulated as one: what first told them apart.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/lump/lump.hpp"
#include "sim/lump/program_graph.hpp"

namespace foretrain {

/// For each body, every class of its ranks is compared with the largest one. The differences, in
/// the order of how many classes each tells apart; together with one class for each body that a
/// rank runs they are all classes. `views` are those of the partition.
[[nodiscard]] std::vector<Difference> differences(const Program& program, const CostModel& costs,
                                                  const ProgramGraph& graph,
                                                  const Partition& partition, const Views& views);

}  // namespace foretrain
