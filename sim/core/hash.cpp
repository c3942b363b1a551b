// FNV-1a over bytes.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/hash.hpp"

namespace foretrain {

// Offset basis and prime of the 64-bit variant: Fowler, Noll, Vo, Eastlake, "The FNV
// Non-Cryptographic Hash Algorithm", IETF draft-eastlake-fnv, section 5.
std::uint64_t fnv1a_64(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001b3;
  }
  return hash;
}

std::string hex(std::uint64_t hash) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) {
    text += kDigits[(hash >> shift) & 0xf];
  }
  return text;
}

}  // namespace foretrain
