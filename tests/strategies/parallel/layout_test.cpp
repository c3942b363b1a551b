// Where ranks sit in the grid of tensor, data and pipeline parallelism.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/layout.hpp"

#include <algorithm>
#include <set>

#include "tests/strategies/parallel/groups_of_ranks.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
TEST_CASE("a rank's coordinates lead back to it", "[strategies]") {
  const Layout layout{2, 3, 4};
  REQUIRE(layout.num_ranks() == 24);
  for (std::size_t i = 0; i < 24; ++i) {
    const Rank rank(i);
    CHECK(layout.rank(layout.tensor_index(rank), layout.data_index(rank), layout.stage(rank)) ==
          rank);
  }
}

TEST_CASE("tensor groups are neighbours, data groups a tensor group apart, stages far apart",
          "[strategies]") {
  // T = 2, D = 3, P = 4: rank = t + 2 (d + 3 stage).
  const Layout layout{2, 3, 4};
  CHECK(layout.tensor_group(1, 2) == ranks({14, 15}));
  CHECK(layout.data_group(1, 2) == ranks({13, 15, 17}));
  CHECK(layout.embedding_group(1, 2) == ranks({5, 23}));
  CHECK(layout.model_group(0) == ranks({0, 1, 6, 7, 12, 13, 18, 19}));
}

TEST_CASE("every order of the axes numbers every rank once", "[strategies]") {
  RankOrder order;
  int orders = 0;
  std::sort(order.axes.begin(), order.axes.end());
  do {
    CHECK(parse_rank_order(name_of(order)) == order);
    const Layout layout{2, 6, 4, 3, 1, order};
    std::set<Rank> all;
    for (std::size_t i = 0; i < layout.num_ranks(); ++i) {
      const Rank rank(i);
      CHECK(layout.at_place(layout.place_of(rank), layout.stage(rank)) == rank);
      all.insert(layout.rank(i % 2, i / 2 % 6, i / 12));
    }
    CHECK(all.size() == layout.num_ranks());
    ++orders;
  } while (std::next_permutation(order.axes.begin(), order.axes.end()));
  CHECK(orders == 24);
}

TEST_CASE("Llama 3 numbers data parallelism outside of the pipeline", "[strategies]") {
  // T = 2, C = 3, D = 2, P = 4: rank = t + 2 (c + 3 (stage + 4 d)).
  const Layout layout{2, 6, 4, 3, 1, *parse_rank_order("tensor-context-pipeline-data")};
  CHECK(layout.rank(1, 2 + 3 * 1, 3) == Rank(1 + 2 * (2 + 3 * (3 + 4 * 1))));
  CHECK(layout.context_group(0, 1, 0) == ranks({24, 26, 28}));
  CHECK(layout.embedding_group(0, 0) == ranks({0, 18}));
  CHECK_FALSE(parse_rank_order("tensor-context-data"));
  CHECK_FALSE(parse_rank_order("tensor-tensor-data-pipeline"));
  CHECK_FALSE(parse_rank_order(""));
}

TEST_CASE("the groups of an axis cover every rank once", "[strategies]") {
  const Layout layout{4, 3, 2};
  std::multiset<Rank> in_tensor;
  std::multiset<Rank> in_data;
  for (std::size_t stage = 0; stage < 2; ++stage) {
    for (std::size_t d = 0; d < 3; ++d) {
      const auto group = layout.tensor_group(d, stage);
      in_tensor.insert(group.begin(), group.end());
    }
    for (std::size_t t = 0; t < 4; ++t) {
      const auto group = layout.data_group(t, stage);
      in_data.insert(group.begin(), group.end());
    }
  }
  for (std::size_t rank = 0; rank < layout.num_ranks(); ++rank) {
    CHECK(in_tensor.count(Rank(rank)) == 1);
    CHECK(in_data.count(Rank(rank)) == 1);
  }
}

}  // namespace foretrain::testing
