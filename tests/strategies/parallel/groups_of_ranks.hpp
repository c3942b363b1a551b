// Groups of ranks: those that a test names, and those of a program.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sim/program/program.hpp"

namespace foretrain::testing {

inline std::vector<Rank> ranks(const std::vector<std::size_t>& numbers) {
  std::vector<Rank> result;
  result.reserve(numbers.size());
  for (const std::size_t number : numbers) {
    result.push_back(Rank(number));
  }
  return result;
}

/// The group that a rank has in a slot.
inline std::vector<Rank> members(const Program& program, std::size_t rank, std::uint32_t slot) {
  return program.groups[program.ranks[rank].communicators.at(slot).index()].members;
}

}  // namespace foretrain::testing
