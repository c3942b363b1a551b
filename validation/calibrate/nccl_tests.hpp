// What nccl-tests prints: its table as text, or the JSON of its option -J. Versions differ in what
// they name; both parsers take what they find and ask for the rest.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "validation/calibrate/collective_table.hpp"

namespace foretrain::validation {

/// The kind with this name of ours ("all_reduce").
[[nodiscard]] std::optional<CollectiveKind> kind_named(std::string_view name);
/// The kind that a program of nccl-tests measures: "all_reduce_perf", "build/alltoall_perf".
[[nodiscard]] std::optional<CollectiveKind> kind_of_program(std::string_view program);

[[nodiscard]] CollectiveTable parse_nccl_tests_text(config::Sources& sources, std::string name,
                                                    std::string text,
                                                    const CollectiveTableOptions& options);
[[nodiscard]] CollectiveTable parse_nccl_tests_json(config::Sources& sources, std::string name,
                                                    std::string text,
                                                    const CollectiveTableOptions& options);

}  // namespace foretrain::validation
