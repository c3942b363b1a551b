// Which layouts there are, what the user leaves of them, and how a layout is told.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/space.hpp"

#include <algorithm>
#include <set>

#include "sim/study/search/same_program.hpp"
#include "strategies/lower.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/sim/study/search/open_runs.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::vector<LayoutChoice> layouts_of(const SearchSpace& space, std::int64_t gpus = 4) {
  std::vector<LayoutChoice> layouts;
  space.for_each(gpus, [&](const LayoutChoice& layout) { layouts.push_back(layout); });
  return layouts;
}

std::string fixing_error(const std::string& assignment) {
  return error_of([&] { return fixed({assignment}); });
}

bool is_same_action(const Action& a, const Action& b) {
  if (a.index() != b.index()) {
    return false;
  }
  if (const auto* kernels = std::get_if<Kernels>(&a)) {
    return kernels->list == std::get<Kernels>(b).list;
  }
  if (const auto* collective = std::get_if<Collective>(&a)) {
    const auto& other = std::get<Collective>(b);
    return collective->kind == other.kind && collective->payload == other.payload &&
           collective->communicator == other.communicator;
  }
  if (const auto* wait = std::get_if<Wait>(&a)) {
    return wait->event == std::get<Wait>(b).event;
  }
  if (const auto* alloc = std::get_if<Alloc>(&a)) {
    return alloc->bytes == std::get<Alloc>(b).bytes;
  }
  return true;
}

bool is_same(const Op& a, const Op& b) {
  return is_same_action(a.action, b.action) && a.name == b.name && a.phase == b.phase &&
         a.micro_batch == b.micro_batch && a.chunk == b.chunk;
}

void check_same(const Program& a, const Program& b) {
  REQUIRE(a.bodies.size() == b.bodies.size());
  CHECK(a.kernel_lists == b.kernel_lists);
  for (std::size_t i = 0; i < a.bodies.size(); ++i) {
    REQUIRE(a.bodies[i].streams.size() == b.bodies[i].streams.size());
    REQUIRE(a.bodies[i].resident.size() == b.bodies[i].resident.size());
    for (std::size_t r = 0; r < a.bodies[i].resident.size(); ++r) {
      CHECK(a.bodies[i].resident[r].bytes == b.bodies[i].resident[r].bytes);
    }
    for (std::size_t s = 0; s < a.bodies[i].streams.size(); ++s) {
      const auto& ops = a.bodies[i].streams[s].ops;
      const auto& others = b.bodies[i].streams[s].ops;
      CHECK(std::equal(ops.begin(), ops.end(), others.begin(), others.end(), is_same));
    }
  }
}

}  // namespace

TEST_CASE("the layouts of a small run are those that a count by hand gives", "[search]") {
  // One schedule, one way to recompute, ZeRO-0: what is left are degrees t p d = 4 with t of 1, 2,
  // 4 and p of 1, 2, 4 (both divide 8), and micro-batches that divide the 8 / d sequences of a
  // replica: d = 4: 1, 2 (one grid); d = 2: 1, 2, 4 (two grids); d = 1: 1, 2, 4, 8 (three grids).
  const SearchSpace space(
      {}, open_run(),
      fixed({"parallel.schedule=1f1b", "training.recompute=none", "parallel.zero=0"}));
  const std::vector<LayoutChoice> layouts = layouts_of(space);
  CHECK(layouts.size() == 1 * 2 + 2 * 3 + 3 * 4);
  for (const LayoutChoice& layout : layouts) {
    CHECK(layout.tensor * layout.pipeline * layout.data() == 4);
    CHECK_FALSE(space.why_not(space.run_in(layout)));
  }
}

TEST_CASE("no layout is there twice, and every schedule, policy and stage is among them",
          "[search]") {
  const SearchSpace space({}, open_run());
  std::set<std::string> texts;
  std::set<std::string_view> schedules;
  std::set<Recompute> policies;
  std::set<std::int64_t> zeros;
  const std::vector<LayoutChoice> layouts = layouts_of(space);
  for (const LayoutChoice& layout : layouts) {
    texts.insert(text_of(layout));
    schedules.insert(layout.schedule);
    policies.insert(layout.recompute);
    zeros.insert(layout.zero);
  }
  CHECK(texts.size() == layouts.size());
  CHECK(schedules.size() == pipeline_schedules().size());
  CHECK(policies.size() == 3);
  CHECK(zeros == std::set<std::int64_t>{0, 1, 2, 3});
}

TEST_CASE("sequences are shared, experts spread and states offloaded where that is possible",
          "[search]") {
  Run run = open_run();
  const auto is_any = [](const std::vector<LayoutChoice>& layouts, auto is_so) {
    return std::any_of(layouts.begin(), layouts.end(), is_so);
  };
  const auto shares_sequences = [](const LayoutChoice& layout) { return layout.context > 1; };
  const auto spreads_experts = [](const LayoutChoice& layout) { return layout.expert > 1; };
  const auto offloads = [](const LayoutChoice& layout) {
    return layout.offload != OffloadChoice::none;
  };
  const SearchSpace plain({}, run);
  CHECK_FALSE(is_any(layouts_of(plain), shares_sequences));  // attention is unfused
  CHECK_FALSE(is_any(layouts_of(plain), spreads_experts));
  CHECK_FALSE(is_any(layouts_of(plain), offloads));
  run.model = mixtral(8, 64, 8);
  run.stack.kernels.attention = AttentionKernel::flash2;
  run.training.sequence_length = 2048;
  run.parallel.sequence_parallel = true;
  run.cluster.host = Host{};
  const std::vector<LayoutChoice> layouts = layouts_of(SearchSpace({}, run));
  CHECK(is_any(layouts, shares_sequences));
  CHECK(is_any(layouts, spreads_experts));
  CHECK(is_any(layouts, offloads));
  CHECK_FALSE(is_any(layouts, [](const LayoutChoice& layout) {
    return 2048 / layout.context < 512;  // the limit that the description states
  }));
}

TEST_CASE("a layout turns the file's own keys off where they can have no effect", "[search]") {
  Run run = open_run();
  run.parallel.sequence_parallel = true;
  run.parallel.shard = 2;
  run.parallel.micro_batch_group = 4;
  const SearchSpace space({}, run);
  LayoutChoice layout;
  layout.gpus = 4;
  const Run alone = space.run_in(layout);
  CHECK_FALSE(alone.parallel.sequence_parallel);
  CHECK_FALSE(alone.parallel.shard);
  CHECK_FALSE(alone.parallel.micro_batch_group);
  CHECK_FALSE(space.why_not(alone));
  layout.tensor = 2;
  layout.zero = 1;
  const Run split = space.run_in(layout);
  CHECK(split.parallel.sequence_parallel);
  CHECK(split.parallel.shard == 2);
}

TEST_CASE("the assignments of a layout make its run of the file", "[search]") {
  config::Sources sources;
  const RunFile file = read_run_text(std::string(kRunFile), sources);
  const SearchSpace space(file, sources, source_catalogue(), FORETRAIN_SOURCE_DIR);
  std::size_t checked = 0;
  space.for_each(96, [&](const LayoutChoice& layout) {
    const Run run = space.run_in(layout);
    if (layout.micro_batch != 2 || layout.tensor == 8 || space.why_not(run) ||
        checked++ % 50 != 0) {
      return;
    }
    config::Value root = config::parse_toml(sources, "run.toml", std::string(kRunFile));
    for (const std::string& assignment : space.sets_of(layout)) {
      config::apply_set(sources, root, assignment);
    }
    config::Diagnostics diagnostics;
    config::Reader reader(root, "", diagnostics);
    const RunFile changed = read_run(reader);
    diagnostics.throw_if_any();
    const Run read = resolve(changed, sources, source_catalogue(), FORETRAIN_SOURCE_DIR);
    CHECK(read.num_gpus() == run.num_gpus());
    CHECK(read.parallel.tensor == run.parallel.tensor);
    CHECK(read.parallel.pipeline == run.parallel.pipeline);
    CHECK(read.parallel.context == run.parallel.context);
    CHECK(read.parallel.schedule == run.parallel.schedule);
    CHECK(read.parallel.virtual_stages == run.parallel.virtual_stages);
    CHECK(read.parallel.zero == run.parallel.zero);
    CHECK(read.training.micro_batch == run.training.micro_batch);
    CHECK(read.training.recompute == run.training.recompute);
    CHECK(read.offload.optimizer == run.offload.optimizer);
    CHECK(read.offload.parameters == run.offload.parameters);
  });
  CHECK(checked > 100);
}

TEST_CASE("a key can be left one value or several", "[search]") {
  const FixedChoices choices = fixed({"parallel.tensor=2", "parallel.zero=[0, 3]",
                                      "training.recompute=[\"none\"]", "offload.optimizer=false"});
  CHECK(choices.allows("parallel.tensor", 2));
  CHECK_FALSE(choices.allows("parallel.tensor", 1));
  CHECK(choices.allows("parallel.zero", 3));
  CHECK_FALSE(choices.allows("parallel.zero", 1));
  CHECK(choices.allows("parallel.pipeline", 7));
  CHECK(choices.recomputes == std::vector<Recompute>{Recompute::none});
  CHECK(choices.offloads == std::vector<OffloadChoice>{OffloadChoice::none});
  CHECK_FALSE(choices.schedules);
  CHECK(contains(fixing_error("parallel.tensr=2"), "did you mean 'tensor'"));
  CHECK(contains(fixing_error("parallel.schedule=1f2b"), "did you mean"));
  CHECK(contains(fixing_error("parallel.tensor=two"), "expected a whole number"));
  CHECK(contains(fixing_error("training.tokens=7"), "tokens"));
}

TEST_CASE("a search of a run with jitter is refused", "[search]") {
  Run run = open_run();
  run.variation.kernel_jitter = 0.1;
  CHECK(contains(error_of([&] { return SearchSpace({}, run); }), "variation.kernel_jitter"));
}

TEST_CASE("layouts that are taken for one program are one, op by op", "[search]") {
  Run run = open_run();
  const SearchSpace space({}, run);
  SamePrograms programs(space);
  std::size_t twins = 0;
  std::set<std::pair<std::string_view, std::string_view>> schedules;
  space.for_each(4, [&](const LayoutChoice& layout) {
    const Run own = space.run_in(layout);
    const auto other = space.why_not(own) ? std::nullopt : programs.before(layout, own);
    if (!other) {
      return;
    }
    CAPTURE(text_of(layout), text_of(*other));
    ++twins;
    schedules.insert({layout.schedule, other->schedule});
    check_same(lower(own), lower(space.run_in(*other)));
    CHECK_FALSE(programs.before(*other, space.run_in(*other)));  // one stands for all
  });
  CHECK(twins > 100);
  CHECK(schedules.contains({"gpipe", "1f1b"}));  // with one micro-batch, or one stage
}

}  // namespace foretrain::testing
