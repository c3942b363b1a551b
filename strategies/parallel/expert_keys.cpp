// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/expert_keys.hpp"

#include <vector>

#include "strategies/parallel/context/kind.hpp"

namespace foretrain {
namespace {

using config::Choice;
using config::Range;
using config::Reader;

constexpr double kMostCapacity = 1000;  // more than there are experts to overflow into one

}  // namespace

ExpertKeys read_expert_keys(Reader& parallel) {
  ExpertKeys keys;
  keys.degree = parallel.count("expert", 1, Range{1, 100'000});
  keys.tensor = parallel.maybe_count("expert_tensor", Range{1, 4096});
  keys.degree_position = parallel.position_of("expert");
  keys.tensor_position = parallel.position_of("expert_tensor");
  return keys;
}

ExpertCapacity read_expert_capacity(Reader& training) {
  ExpertCapacity capacity;
  capacity.position = training.position_of("expert_capacity");
  if (const auto factor = training.maybe<double>("expert_capacity")) {
    capacity.factor = *factor;
    if (!(*factor > 0 && *factor <= kMostCapacity)) {
      training.fail("expert_capacity",
                    "expected a number above 0 and at most 1000: the rows that "
                    "an expert takes over the mean");
    }
  }
  capacity.is_padded = training.get<bool>("pad_experts", false);
  if (capacity.is_padded && !training.has("expert_capacity")) {
    training.fail("pad_experts", "has no effect without expert_capacity; remove it");
  }
  return capacity;
}

GridKeys read_grid_keys(Reader& parallel) {
  GridKeys keys;
  std::vector<Choice<std::string>> kinds;
  kinds.reserve(context_kinds().size());
  for (const ContextKind& kind : context_kinds()) {
    kinds.push_back({kind.name, std::string(kind.name)});
  }
  keys.context_kind = parallel.choice<std::string>("context_kind", kinds, keys.context_kind);
  keys.context_kind_position = parallel.position_of("context_kind");
  keys.order_position = parallel.position_of("order");
  if (const auto text = parallel.maybe<std::string>("order")) {
    if (const auto order = parse_rank_order(*text)) {
      keys.order = *order;
    } else {
      parallel.fail("order",
                    "expected tensor, context, data and pipeline joined by hyphens, from "
                    "neighbours to far apart, such as \"" +
                        name_of(RankOrder{}) + "\", got \"" + *text + "\"");
    }
  }
  return keys;
}

}  // namespace foretrain
