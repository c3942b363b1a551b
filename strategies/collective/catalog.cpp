// The table of collective algorithms.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "strategies/collective/collective.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<CollectiveAlgorithm, 1> kAlgorithms = {{
    {"ring", "Bandwidth-optimal rings, one per NIC that the group can use", ring},
}};
// clang-format on

}  // namespace

std::span<const CollectiveAlgorithm> collective_algorithms() { return kAlgorithms; }

}  // namespace foretrain
