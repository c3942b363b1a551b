// What lumping made of a program, for people.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/lump/lump.hpp"
#include "strategies/parallel/layout.hpp"

namespace foretrain {

/// Why there is more than one simulated rank, each reason with the number of ranks that it adds:
/// "stages differ (16)", "node 17 nic 0 out has 25 GB/s instead of 50 (32)". The most first.
[[nodiscard]] std::vector<std::string> lumping_reasons(const Program& program,
                                                       const std::vector<Difference>& differences);

/// "96 ranks -> 4 simulated (data x12, tensor x2); not lumped further: stages differ (4)".
/// `simulated`: by rank, whose timeline it shares.
[[nodiscard]] std::string lumping_text(const Layout& layout, const std::vector<Rank>& simulated,
                                       const std::vector<std::string>& reasons);

}  // namespace foretrain
