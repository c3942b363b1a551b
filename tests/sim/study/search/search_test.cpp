// The search against brute force on small spaces, and what it promises: one fate for every layout,
// the same answer whatever the number of workers, an honest end when time is up.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/search.hpp"

#include <algorithm>

#include "tests/models/fixtures.hpp"
#include "tests/sim/study/search/open_runs.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

SearchOptions options(std::size_t top = 3) {
  SearchOptions options;
  options.top = top;
  options.jobs = 2;
  return options;
}

std::size_t size_of(const SearchSpace& space, std::int64_t gpus) {
  std::size_t size = 0;
  space.for_each(gpus, [&](const LayoutChoice&) { ++size; });
  return size;
}

void check_against_all(const SearchSpace& space, const SearchOptions& options) {
  const SearchResult result = search(space, options);
  CHECK(result.is_proved);
  CHECK(result.fates.total() == size_of(space, space.base().num_gpus()));
  CHECK_FALSE(result.top.empty());
  for (const std::string& fault : verify(space, options, result)) {
    FAIL_CHECK(fault);
  }
}

/// A search with a list that is wrong on purpose.
SearchResult without_its_best(SearchResult result) {
  result.top.erase(result.top.begin());
  return result;
}

}  // namespace

TEST_CASE("a search finds what brute force finds", "[search]") {
  check_against_all(SearchSpace({}, open_run(), fixed({"training.micro_batch=[1, 2]"})), options());
}

TEST_CASE("a search finds what brute force finds with experts on other ranks", "[search]") {
  Run run = open_run();
  run.model = mixtral(4, 256, 8);
  run.parallel.sequence_parallel = true;
  check_against_all(
      SearchSpace({}, run,
                  fixed({"training.micro_batch=1", "training.recompute=[\"none\", \"full\"]"})),
      options());
}

TEST_CASE("a search finds what brute force finds with shared sequences", "[search]") {
  Run run = open_run();
  run.model = llama(4, 256, 8);
  run.stack.kernels.attention = AttentionKernel::flash2;
  run.training.sequence_length = 2048;
  check_against_all(
      SearchSpace({}, run, fixed({"parallel.context=[2, 4]", "training.micro_batch=[1, 2]"})),
      options());
}

TEST_CASE("a search finds what brute force finds on unlike nodes", "[search]") {
  config::Sources sources;
  RunFile file;
  file.inline_model = gpt(4, 1024, 16);
  file.platform = "mixed-a100-h100";
  file.nodes = 2;
  file.training.sequence_length = 512;
  file.training.global_batch = 32;
  const SearchSpace space(file, sources, source_catalogue(), "",
                          fixed({"parallel.tensor=[2, 4]", "training.micro_batch=1",
                                 "training.recompute=none", "offload.optimizer=false"}));
  check_against_all(space, options());
}

TEST_CASE("a search for memory or money finds what brute force finds", "[search]") {
  Run run = open_run();
  run.model = gpt(8, 512, 8);
  run.training.sequence_length = 256;
  SearchOptions tight = options();
  const SearchSpace space(
      {}, run,
      fixed({"training.micro_batch=[1, 2]", "parallel.tensor=1", "parallel.pipeline=[1, 4]",
             "parallel.schedule=[\"1f1b\", \"gpipe\", \"zb-h1\"]"}));
  const SearchResult roomy = search(space, tight);
  // Half way between the least and the most that layouts of the list take.
  Bytes least = roomy.simulated.front().memory_bound;
  for (const RankedLayout& layout : roomy.simulated) {
    least = std::min(least, layout.memory_bound);
  }
  const Bytes capacity = roomy.top.front().outcome.memory_capacity;
  tight.headroom = 1 - 1.001 * (least / capacity);
  const SearchResult small = search(space, tight);
  REQUIRE_FALSE(small.top.empty());
  CHECK(small.fates.too_large + small.fates.does_not_fit > 0);
  CHECK(small.top.front().outcome.memory_peak <= (1 - tight.headroom) * capacity);
  CHECK(small.top.front().value >= roomy.top.front().value);
  check_against_all(space, tight);
  SearchOptions cheap = options();
  cheap.objective = Objective::cost;
  cheap.price = 2.5;
  check_against_all(space, cheap);
  SearchOptions frugal = options();
  frugal.objective = Objective::energy;
  frugal.power = GpuPower{700, 100, 1.2};
  check_against_all(space, frugal);
}

TEST_CASE("brute force contradicts a list that is wrong", "[search]") {
  const SearchSpace space({}, open_run(),
                          fixed({"training.micro_batch=1", "training.recompute=none",
                                 "parallel.schedule=[\"1f1b\", \"gpipe\"]"}));
  const SearchResult result = search(space, options());
  CHECK(verify(space, options(), result).empty());
  CHECK_FALSE(verify(space, options(), without_its_best(result)).empty());
  SearchResult slower = result;
  slower.top.front().value *= 1.001;
  CHECK(verify(space, options(), slower).size() == 1);
}

TEST_CASE("the number of workers changes nothing that a search says", "[search]") {
  const SearchSpace space({}, open_run(), fixed({"training.micro_batch=[1, 2]"}));
  SearchOptions one = options(5);
  one.jobs = 1;
  SearchOptions many = options(5);
  many.jobs = 5;
  const SearchResult a = search(space, one);
  const SearchResult b = search(space, many);
  CHECK(search_json(space, one, a) == search_json(space, many, b));
  CHECK(search_text(space, one, a) == search_text(space, many, b));
  CHECK(search_csv(space, one, a.simulated) == search_csv(space, many, b.simulated));
}

TEST_CASE("a list is in order, and no place of it beats its own bounds", "[search]") {
  const SearchSpace space({}, open_run());
  const SearchResult result = search(space, options(8));
  REQUIRE(result.top.size() == 8);
  for (std::size_t i = 0; i < result.top.size(); ++i) {
    const RankedLayout& place = result.top[i];
    CHECK((i == 0 || result.top[i - 1].value <= place.value));
    CHECK(place.time_bound <= place.outcome.step_time * (1 + 1e-9));
    CHECK(place.memory_bound <= place.outcome.memory_peak * (1 + 1e-9));
    CHECK(place.value == place.outcome.step_time.value);
    CHECK_FALSE(place.outcome.limit.empty());
  }
  REQUIRE(result.best_remaining);
  CHECK(*result.best_remaining > result.top.back().value);
  CHECK(result.fates.simulated() < result.fates.total() / 10);  // the bounds are of use
}

TEST_CASE("a search that runs out of time says what it has not looked at", "[search]") {
  const SearchSpace space({}, open_run());
  SearchOptions hurried = options();
  hurried.time_limit = Seconds(1e-9);
  const SearchResult result = search(space, hurried);
  CHECK_FALSE(result.is_proved);
  CHECK(result.fates.unseen > 0);
  CHECK(result.fates.total() == size_of(space, 4));
  CHECK(result.top.empty());
  CHECK(contains(search_text(space, hurried, result), "nothing that fits was found in time"));
}

TEST_CASE(
    "money is price times GPUs times time, so that a step that hides nothing is cheapest small",
    "[search]") {
  SearchOptions cheap = options(1);
  cheap.objective = Objective::cost;
  cheap.price = 3.6;
  cheap.gpus = {4, 8};
  const SearchSpace space({}, open_run(4), fixed({"training.recompute=none"}));
  const SearchResult result = search(space, cheap);
  REQUIRE(result.top.size() == 1);
  const RankedLayout& best = result.top.front();
  CHECK(best.layout.gpus == 4);  // communication and the host's time only add up
  CHECK_THAT(best.value, WithinRel(4 * 3.6 / 3600 * best.outcome.step_time.value, 1e-12));
  const std::vector<SearchResult> each = search_each_size(space, cheap);
  REQUIRE(each.size() == 2);
  CHECK(each[0].top.front().value == best.value);
  CHECK(each[1].top.front().value > best.value);
}

TEST_CASE("the layout that needs least memory is found among all", "[search]") {
  SearchOptions small = options(1);
  small.objective = Objective::memory;
  const SearchSpace space({}, open_run(4), fixed({"training.micro_batch=[1, 2]"}));
  const SearchResult result = search(space, small);
  REQUIRE(result.top.size() == 1);
  CHECK(result.is_proved);
  CHECK(result.top.front().value == result.top.front().outcome.memory_peak.value);
  CHECK(result.top.front().layout.recompute == Recompute::full);
  CHECK(result.top.front().layout.zero == 3);
  check_against_all(space, small);
  SECTION("and one that is small enough takes no longer than it must") {
    small.good_enough = space.base().cluster.least_memory().value;
    const SearchResult enough = search(space, small);
    CHECK(enough.top.size() == 1);
    CHECK(enough.fates.simulated() <= result.fates.simulated());
  }
}

TEST_CASE("layouts that take too long to be of interest are not simulated", "[search]") {
  const SearchSpace space({}, open_run(4));
  const SearchResult all = search(space, options(8));
  SearchOptions picky = options(8);
  picky.too_much = all.top.front().value;
  const SearchResult none = search(space, picky);
  CHECK(none.is_proved);
  CHECK(none.fates.simulated() < all.fates.simulated());
  picky.too_much = all.top.front().value / 2;
  CHECK(search(space, picky).fates.simulated() == 0);
}

TEST_CASE("energy counts waiting at the power of a GPU that waits", "[search]") {
  SearchOptions frugal = options(1);
  frugal.objective = Objective::energy;
  frugal.power = GpuPower{700, 100, 1.5};
  const SearchSpace space({}, open_run(4),
                          fixed({"training.recompute=none", "parallel.pipeline=4",
                                 "parallel.schedule=1f1b", "parallel.zero=0"}));
  const SearchResult result = search(space, frugal);
  REQUIRE_FALSE(result.top.empty());
  const RankedLayout& best = result.top.front();
  const double step = best.outcome.step_time.value;
  const double idle = best.outcome.idle_share;
  CHECK(idle > 0.1);  // the bubble of four stages
  CHECK_THAT(best.value, WithinRel(4 * 1.5 * step * (700 * (1 - idle) + 100 * idle), 1e-9));
}

TEST_CASE("the front holds the best time of every size and nothing that another beats",
          "[search]") {
  const SearchSpace space({}, open_run(4), fixed({"training.recompute=none"}));
  SearchOptions all = options(4);
  all.gpus = {2, 4, 8};
  const std::vector<SearchResult> each = search_each_size(space, all);
  const std::vector<RankedLayout> front = pareto_front(each);
  for (const SearchResult& result : each) {
    const double best = result.top.front().outcome.step_time.value;
    const auto gpus = result.top.front().layout.gpus;
    const bool is_there = std::any_of(front.begin(), front.end(), [&](const RankedLayout& layout) {
      return layout.layout.gpus == gpus && layout.outcome.step_time.value == best;
    });
    const bool is_beaten = std::any_of(front.begin(), front.end(), [&](const RankedLayout& layout) {
      return layout.layout.gpus < gpus && layout.outcome.step_time.value <= best;
    });
    CHECK((is_there || is_beaten));
  }
  for (const RankedLayout& a : front) {
    for (const RankedLayout& b : front) {
      const bool is_no_worse = a.layout.gpus <= b.layout.gpus &&
                               a.outcome.step_time <= b.outcome.step_time &&
                               a.outcome.memory_peak <= b.outcome.memory_peak;
      CHECK((&a == &b || !is_no_worse));
    }
  }
}

TEST_CASE("a search without an admissible layout says why", "[search]") {
  Run run = open_run(4);
  run.model = gpt(8, 64, 8);
  const SearchSpace nothing({}, run, fixed({"parallel.tensor=3"}));
  CHECK(contains(error_of([&] { return search(nothing, options()); }), "divide these GPUs"));
  const SearchSpace refused({}, run,
                            fixed({"parallel.schedule=dualpipe-v", "parallel.pipeline=1"}));
  CHECK(contains(error_of([&] { return search(refused, options()); }), "no layout is admissible"));
}

TEST_CASE("an objective without its price or power is refused", "[search]") {
  const SearchSpace space({}, open_run(4));
  SearchOptions cheap = options();
  cheap.objective = Objective::cost;
  CHECK(contains(error_of([&] { return search(space, cheap); }), "--price"));
  SearchOptions frugal = options();
  frugal.objective = Objective::energy;
  CHECK(contains(error_of([&] { return search(space, frugal); }), "--load-power"));
  frugal.power = GpuPower{100, 200, 1};
  CHECK(contains(error_of([&] { return search(space, frugal); }), "--idle-power"));
}

}  // namespace foretrain::testing
