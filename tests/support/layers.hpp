// Which folder may include which: the arrows of CONTRIBUTING.md, as a table that tests check.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tests/support/source_tree.hpp"

namespace foretrain::testing {

/// One sentence for each #include below sim, models, platforms and strategies that is against the
/// arrows, that brings a third party into a folder that is to know nothing of it, or whose path
/// does not start at the repository root.
[[nodiscard]] std::vector<std::string> backward_arrows(std::span<const SourceFile> files);

}  // namespace foretrain::testing
