// foretrain search: the best layouts of a run, out of all that there are.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/search.hpp"

#include <array>
#include <fstream>
#include <memory>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/cli/economics.hpp"
#include "sim/core/error.hpp"
#include "sim/study/scale.hpp"

namespace foretrain::cli {
namespace {

struct SearchArguments {
  RunOptions run;
  std::string format = "text";
  std::string objective = "time";
  std::string gpus;
  std::string nodes;
  std::string headroom = "0%";
  EconomicsOptions economics;
  std::vector<std::string> fixed;
  double time_limit = 0;
  std::string front;
  bool verifies = false;
  SearchOptions search;
};

[[noreturn]] void fail(const std::string& key, const std::string& message) {
  throw ConfigError({Diagnostic{"", 0, 0, key, message, "", 0}});
}

// "5%" or "0.05".
double parse_share(const std::string& text) {
  std::size_t end = 0;
  double share = -1;
  try {
    share = std::stod(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  const std::string unit = text.substr(end);
  share = unit == "%" ? share / 100 : share;
  if (end == 0 || !(unit.empty() || unit == "%") || share < 0 || share >= 1) {
    fail("--headroom", "expected a share of the memory such as 5%, got \"" + text + "\"");
  }
  return share;
}

std::vector<std::int64_t> sizes_of(const SearchArguments& options, const Run& base) {
  if (!options.gpus.empty()) {
    return parse_nodes(options.gpus);
  }
  std::vector<std::int64_t> sizes =
      options.nodes.empty() ? std::vector<std::int64_t>{} : parse_nodes(options.nodes);
  for (std::int64_t& size : sizes) {
    size *= base.cluster.gpus_per_node;
  }
  return sizes;
}

SearchOptions search_options(const SearchArguments& options, const Run& base,
                             const Economics& economics, Console& console) {
  SearchOptions search = options.search;
  search.objective = options.objective == "cost"     ? Objective::cost
                     : options.objective == "energy" ? Objective::energy
                     : options.objective == "memory" ? Objective::memory
                                                     : Objective::time;
  search.gpus = sizes_of(options, base);
  search.headroom = parse_share(options.headroom);
  search.price = economics.price;
  if (economics.has_power()) {
    search.power = GpuPower{*economics.load + *economics.host, *economics.idle + *economics.host,
                            economics.pue};
  }
  if (options.time_limit > 0) {
    search.time_limit = Seconds(options.time_limit);
  }
  search.progress = talk_on(console);
  return search;
}

SearchSpace load_space(const SearchArguments& options, config::Sources& sources,
                       std::vector<std::string>& changes) {
  const RunFile file = read_run_file(options.run, sources, &changes);
  return {file, sources, find_catalogue(), directory_of(options.run),
          read_fixed(sources, options.fixed)};
}

void write_front(const std::string& path, const SearchSpace& space, const SearchOptions& options) {
  SearchOptions each = options;
  if (each.gpus.empty()) {
    each.gpus = {space.base().num_gpus()};
  }
  std::ofstream file(path);
  file << search_csv(space, options, pareto_front(search_each_size(space, each)));
  file.flush();
  if (!file) {
    throw ConfigError({Diagnostic{path, 0, 0, "--pareto", "cannot be written", ""}});
  }
}

int search_command(const SearchArguments& options, Console& console) {
  config::Sources sources;
  std::vector<std::string> changes;
  const SearchSpace space = load_space(options, sources, changes);
  const Economics economics = economics_of(space.base().cluster, read_choice(options.economics));
  const SearchOptions how = search_options(options, space.base(), economics, console);
  const SearchResult result = search(space, how);
  if (options.format == "json") {
    console.out << search_json(space, how, result);
  } else if (options.format == "csv") {
    console.out << search_csv(space, how, result.top);
  } else {
    for (const std::string& change : changes) {
      console.out << change << '\n';
    }
    console.out << search_text(space, how, result);
    if (how.objective == Objective::energy) {
      console.out << "note: " << power_text(economics) << '\n';
    }
    if (how.objective == Objective::cost) {
      for (const std::string& note : economics.notes) {
        console.out << "note: " << note << '\n';
      }
    }
  }
  if (!options.front.empty()) {
    write_front(options.front, space, how);
  }
  console.talk << fmt::format("{} layouts bounded in {:.1f} s, {} simulated in {:.1f} s\n",
                              result.bounded, result.bounding_wall.value, result.fates.simulated(),
                              result.simulating_wall.value);
  const std::vector<std::string> faults =
      options.verifies ? verify(space, how, result) : std::vector<std::string>{};
  for (const std::string& fault : faults) {
    console.talk << "verify: " << fault << '\n';
  }
  if (options.verifies && faults.empty()) {
    console.talk << "verify: the simulation of every admissible layout agrees\n";
  }
  return result.top.empty() || !faults.empty() ? kConditionFailed : kGood;
}

}  // namespace

std::function<int()> add_search(CLI::App& app, Console& console) {
  auto options = std::make_shared<SearchArguments>();
  options->search.jobs = std::max(1U, std::thread::hardware_concurrency());
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  app.add_option("--objective", options->objective, "What to make small")
      ->check(CLI::IsMember({"time", "cost", "energy", "memory"}))
      ->capture_default_str();
  auto* gpus = app.add_option("--gpus", options->gpus, "GPUs: \"512\", \"256,512\", \"8..64\"");
  app.add_option("--nodes", options->nodes, "Nodes, likewise")->excludes(gpus);
  app.add_option("--headroom", options->headroom, "Share of GPU memory that stays free")
      ->capture_default_str();
  app.add_option("--top", options->search.top, "Layouts to rank")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--fix", options->fixed,
                 "Leave a key this value, or a list, such as "
                 "parallel.tensor=8 or parallel.zero=[0,1]")
      ->take_all()
      ->expected(1)
      ->trigger_on_parse(false);
  add_economics_options(app, options->economics);
  app.add_option("--time-limit", options->time_limit,
                 "Seconds after which the search ends unproved")
      ->check(CLI::PositiveNumber);
  app.add_option("--pareto", options->front,
                 "Write the front of GPUs, step time and memory to this CSV file");
  app.add_flag("--verify", options->verifies,
               "Simulate every admissible layout as well and compare");
  app.add_option("--jobs", options->search.jobs, "Worker processes")->check(CLI::Range(1, 1024));
  return [options, &console] { return search_command(*options, console); };
}

}  // namespace foretrain::cli
