// What a search costs: bounds a second on one core, and the whole of a large one, from its space to
// its proof.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "sim/study/search/bounds.hpp"
#include "sim/study/search/search.hpp"
#include "tests/bench/load.hpp"

namespace foretrain::bench {
namespace {

constexpr double kTargetRate = 20'000;  // layouts a second and core
constexpr double kTargetSearch = 60;    // seconds on two cores
constexpr std::int64_t kGpus = 4096;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void print(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

/// Every layout of the space, checked and bounded, on this thread alone; from nothing.
void bound_all(const SearchSpace& space) {
  const double started = cpu_seconds();
  std::size_t layouts = 0;
  std::size_t bounded = 0;
  Run run = space.base();
  std::map<bool, std::unique_ptr<LayoutBounds>> bounds;
  space.for_each(kGpus, [&](const LayoutChoice& layout) {
    ++layouts;
    space.lay_out(layout, run);
    if (space.why_not(run)) {
      return;
    }
    std::unique_ptr<LayoutBounds>& mine = bounds[run.offload.optimizer];
    if (!mine) {
      mine = std::make_unique<LayoutBounds>(run);
    }
    ++bounded;
    (void)mine->quick(run);
  });
  const double seconds = cpu_seconds() - started;
  print(
      fmt::format("  {} layouts, {} of them bounded in {:.2f} CPU s: {:.0f} layouts a second and "
                  "core, bounds alone at least {:.0f} (target {:.0f})",
                  layouts, bounded, seconds, static_cast<double>(layouts) / seconds,
                  static_cast<double>(bounded) / seconds, kTargetRate));
}

void search_all(const SearchSpace& space) {
  SearchOptions options;
  options.gpus = {kGpus};
  options.jobs = 2;
  const auto started = std::chrono::steady_clock::now();
  const SearchResult result = search(space, options);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  print(fmt::format("  searched in {:.1f} s with 2 workers (target {:.0f} s), {}: {} simulated",
                    seconds, kTargetSearch, result.is_proved ? "proved" : "not proved",
                    result.fates.simulated()));
  for (const RankedLayout& layout : result.top) {
    print(fmt::format("    {:.4f} s, bound {:.4f} s  {}", layout.outcome.step_time.value,
                      layout.time_bound.value, text_of(layout.layout)));
  }
}

}  // namespace
}  // namespace foretrain::bench

int main() {
  using namespace foretrain;
  config::Sources sources;
  const SearchSpace space = bench::load_space(sources, "search-175b");
  bench::print("search: GPT-175B on 4,096 A100s, complete space");
  bench::bound_all(space);
  bench::search_all(space);
  return 0;
}
