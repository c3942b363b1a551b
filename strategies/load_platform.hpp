// The platform that a run file names, with what the run file replaces of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "strategies/plan.hpp"

namespace foretrain {

/// A name as it is, a relative path beside the file that has it, which is in `directory`.
[[nodiscard]] std::string beside(const std::string& name_or_path, const std::string& directory);

/// Throws ConfigError.
[[nodiscard]] Cluster load_platform(const RunFile& file, config::Sources& sources,
                                    const Catalogue& catalogue, const std::string& directory);

}  // namespace foretrain
