// "Did you mean ...?": the nearest valid name to a mistyped one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace foretrain {

/// Damerau-Levenshtein distance (insert, delete, substitute, swap neighbours), capped at `limit`.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

/// The candidate within max(1, length / 3) edits of `name` that is nearest; the first on a tie.
/// One that shares no letter with `name` is not near.
[[nodiscard]] std::optional<std::string> nearest(std::string_view name,
                                                 std::span<const std::string> candidates);

}  // namespace foretrain
