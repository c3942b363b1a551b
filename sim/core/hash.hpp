// A short fingerprint of a text, for provenance (which configuration gave this result) and caches.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace foretrain {

/// FNV-1a, 64 bits: the same on every machine. Not for anything that an adversary may choose.
[[nodiscard]] std::uint64_t fnv1a_64(std::string_view text);

/// Sixteen lower-case hexadecimal digits.
[[nodiscard]] std::string hex(std::uint64_t hash);

}  // namespace foretrain
