// A timeline for ui.perfetto.dev: process = pipeline stage (body), thread = rank x stream.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <vector>

#include "sim/engine/engine.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// The first rank of every body: one of each role.
[[nodiscard]] std::vector<Rank> representative_ranks(const Program& program);

/// Writes Chrome's JSON trace format: a slice per op that takes time (communication with its bytes
/// and group as arguments), and a counter of device memory per rank. Times in microseconds.
void write_trace(std::ostream& out, const Program& program, const Timeline& timeline,
                 const std::vector<Rank>& ranks);

}  // namespace foretrain
