// The table of ways of tokens to their experts.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "sim/core/table.hpp"
#include "strategies/parallel/experts/dispatch.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<ExpertDispatch, 3> kDispatches = {{
    {"all-to-all", "Every copy of a token by itself to the rank of its expert",
     false, false, dispatch_all_to_all},
    {"all-gather", "All tokens to all ranks, which pick those of their experts",
     false, false, dispatch_all_gather},
    {"node-first", "A token once to every node where it has experts, and inside to each (DeepEP)",
     true, true, dispatch_node_first},
}};
// clang-format on

}  // namespace

std::span<const ExpertDispatch> expert_dispatches() { return kDispatches; }

const ExpertDispatch& expert_dispatch(std::string_view name) {
  return row_named(kDispatches, name, "way of tokens to experts");
}

std::string read_expert_dispatch(config::Reader& stack) {
  std::vector<config::Choice<std::string>> choices;
  choices.reserve(kDispatches.size());
  for (const ExpertDispatch& dispatch : kDispatches) {
    choices.push_back({dispatch.name, std::string(dispatch.name)});
  }
  return stack.choice<std::string>("expert_dispatch", choices,
                                   std::string(kDispatches.front().name));
}

}  // namespace foretrain
