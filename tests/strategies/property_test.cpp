// Laws of played steps, over random small runs: the books balance, no resource works faster than it
// can, and time is reproducible.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "sim/report/breakdown.hpp"
#include "strategies/lower.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/platform_costs.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/random_runs.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/program_maker.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

void check_books(const Breakdown& parts, Picoseconds step) {
  CHECK(parts.step == step);
  CHECK(parts.total() == step);
  const Picoseconds zero;
  CHECK(parts.compute >= zero);
  CHECK(parts.recompute >= zero);
  CHECK(parts.optimizer >= zero);
  CHECK(parts.host >= zero);
  CHECK(parts.bubble >= zero);
  for (const auto& [axis, time] : parts.exposed) {
    CHECK(time >= zero);
  }
}

/// Bytes that cross each link in a step; the engine carries whole bytes, so each flow counts one
/// less.
class LinkLoad {
 public:
  LinkLoad(const Program& program, const CostModel& costs) : bytes_(costs.network().links.size()) {
    for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
      for_every_op(program, Rank(rank), [&](const Op& op) {
        const RankBinding& binding = program.ranks[rank];
        if (const auto* send = std::get_if<Send>(&op.action)) {
          const Rank peer = binding.peers[send->peer];
          add(costs.point_to_point(send->payload, binding.device,
                                   program.ranks[peer.index()].device));
        } else if (const auto* collective = std::get_if<Collective>(&op.action)) {
          const Group& group =
              program.groups[binding.communicators[collective->communicator].index()];
          if (group.members.front() == Rank(rank)) {
            std::vector<DeviceId> devices;
            for (const Rank member : group.members) {
              devices.push_back(program.ranks[member.index()].device);
            }
            add(costs.collective(collective->kind, collective->payload, devices));
          }
        }
      });
    }
  }
  [[nodiscard]] Seconds least_time(const Network& network) const {
    Seconds most;
    for (std::size_t link = 0; link < bytes_.size(); ++link) {
      most = std::max(most, bytes_[link] / network.links[link].capacity);
    }
    return most;
  }

 private:
  void add(const FlowSchedule& schedule) {
    for (const FlowPhase& phase : schedule.phases) {
      for (const Flow& flow : phase.flows) {
        for (const LinkId link : flow.links) {
          bytes_[link.index()] += std::max(Bytes(0), flow.bytes - Bytes(1));
        }
      }
    }
  }
  std::vector<Bytes> bytes_;
};

}  // namespace

namespace {

double count_of(std::int64_t parameters) { return static_cast<double>(parameters); }

/// One kind of parameters: those of experts on a grid of their own, or the rest.
struct Kind {
  std::string_view axis;
  std::int64_t parameters;
  std::int64_t replicas;
  std::int64_t shards;
  bool is_experts;
};

/// Parameters that ZeRO-3 gathers in a step, or that ZeRO-1 and -2 gather after it.
double gathered_parameters(const Run& run, const StageShape& shape, const Kind& kind) {
  if (kind.shards == 1) {
    return 0;
  }
  if (run.parallel.zero < 3 || run.parallel.pipeline > 1) {
    return count_of(kind.parameters);
  }
  if (kind.is_experts) {
    return count_of(run.num_micro_batches() * 2 * kind.parameters);
  }
  const std::int64_t rows =
      padded_vocabulary(run.model.vocabulary, run.parallel.tensor) / run.parallel.tensor;
  const std::int64_t table = run.model.tied_embeddings ? rows * run.model.hidden : 0;
  return count_of(run.num_micro_batches()) *
         count_of(2 * (kind.parameters + table) - shape.embedding.parameters);
}

/// Gradient bytes that a rank contributes to sums, over the step.
double gradient_bytes(const Run& run, const Kind& kind) {
  const double times =
      run.parallel.zero >= 2 && run.parallel.pipeline == 1 ? count_of(run.num_micro_batches()) : 1;
  return times * count_of(kind.parameters) * run.stack.gradient_size().value;
}

void check_data_axis(const Run& run, const Program& program, Rank rank, const StageShape& shape,
                     const Kind& kind) {
  const auto bytes = [&](CollectiveKind which) {
    return collectives(program, rank, kind.axis, which).bytes.value;
  };
  const bool is_scattered = kind.shards > 1;
  const bool is_repeated = kind.shards < kind.replicas;
  const double gradients = kind.replicas > 1 ? gradient_bytes(run, kind) : 0;
  CHECK_THAT(bytes(CollectiveKind::reduce_scatter), WithinRel(is_scattered ? gradients : 0, 1e-12));
  CHECK_THAT(bytes(CollectiveKind::all_reduce),
             WithinRel(is_repeated ? gradients / count_of(kind.shards) : 0, 1e-12));
  CHECK_THAT(bytes(CollectiveKind::all_gather),
             WithinRel(2 * gathered_parameters(run, shape, kind), 1e-12));
}

void check_data_axes(const Run& run, const Program& program, Rank rank, const StageShape& shape) {
  check_data_axis(
      run, program, rank, shape,
      {"data", shape.parameters - shape.expert_parameters, run.replicas(), run.shards(), false});
  if (has_expert_grid(run)) {
    check_data_axis(run, program, rank, shape,
                    {"expert data", shape.expert_parameters, expert_replicas(run),
                     run.parallel.zero == 0 ? 1 : expert_shards(run), true});
  }
}

/// Layers of a stage that gather keys and values once more to compute attention again.
std::int64_t attention_again(const Run& run, const StageShape& shape) {
  std::int64_t layers = 0;
  for (std::int32_t chunk = 0; chunk < run.parallel.virtual_stages; ++chunk) {
    for (std::int64_t i = 0; i < shape.layers_in(chunk); ++i) {
      layers += is_recomputed(run, shape.layer_number(chunk, i), i) ? 1 : 0;
    }
  }
  return run.training.recompute == Recompute::operators ? 0 : layers;
}

void check_context_axis(const Run& run, const Program& program, Rank rank,
                        const StageShape& shape) {
  const std::int64_t width = 2 * run.model.kv_heads / run.parallel.tensor * run.model.head_dim;
  const double each = 2.0 * count_of(run.training.micro_batch * run.training.sequence_length) *
                      count_of(width) * count_of(run.num_micro_batches());
  const std::int64_t layers = shape.num_layers();
  const bool is_shared = run.parallel.context > 1;
  if (is_shared && run.parallel.grid.context_kind != "all-gather") {
    return;
  }
  const auto bytes = [&](CollectiveKind kind) {
    return collectives(program, rank, "context", kind).bytes.value;
  };
  CHECK(bytes(CollectiveKind::all_gather) ==
        (is_shared ? each * count_of(2 * layers + attention_again(run, shape)) : 0));
  CHECK(bytes(CollectiveKind::reduce_scatter) == (is_shared ? each * count_of(layers) : 0));
}

/// Hiding moves collectives and does not change what they carry.
void check_tensor_axis(const Run& run, const Program& program, Rank rank) {
  Run plain = run;
  plain.stack.overlap_tensor_parallel = false;
  plain.stack.hidden_tensor_parallel.value = 0;
  const Program in_line = lower(plain);
  for (const CollectiveKind kind :
       {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    CHECK_THAT(collectives(program, rank, "tensor", kind).bytes.value,
               WithinRel(collectives(in_line, rank, "tensor", kind).bytes.value, 1e-12));
  }
}

}  // namespace

namespace {

/// Replays the streams of one body, and for every op says how far each stream is known to have come
/// when the op starts, whatever the times.
class HappensBefore {
 public:
  explicit HappensBefore(const Body& body)
      : body_(body), known_(body.streams.size(), Progress(body.streams.size(), 0)) {
    recorded_.resize(body.num_events);
  }

  /// Whether collectives on one communicator are always issued in one order: each knows that the
  /// one before it in this replay has ended.
  bool orders_collectives(const std::vector<GroupId>& communicators) {
    std::map<GroupId, std::pair<std::size_t, std::size_t>> last;  // stream and place in it
    bool is_ordered = true;
    std::vector<std::size_t> next(body_.streams.size(), 0);
    for (bool is_moving = true; is_moving;) {
      is_moving = false;
      for (std::size_t stream = 0; stream < body_.streams.size(); ++stream) {
        const std::vector<Op>& ops = body_.streams[stream].ops;
        for (; next[stream] < ops.size() && step(stream, ops[next[stream]]); ++next[stream]) {
          is_moving = true;
          if (const auto* collective = std::get_if<Collective>(&ops[next[stream]].action)) {
            const GroupId group = communicators.at(collective->communicator);
            const auto before = last.find(group);
            is_ordered =
                is_ordered && (before == last.end() || before->second.first == stream ||
                               known_[stream][before->second.first] > before->second.second);
            last[group] = {stream, next[stream]};
          }
          known_[stream][stream] = next[stream] + 1;
        }
      }
    }
    return is_ordered;
  }

 private:
  using Progress = std::vector<std::size_t>;

  bool step(std::size_t stream, const Op& op) {
    if (const auto* record = std::get_if<Record>(&op.action)) {
      recorded_[record->event.index()] = known_[stream];
    } else if (const auto* wait = std::get_if<Wait>(&op.action)) {
      const auto& event = recorded_[wait->event.index()];
      if (!event) {
        return false;
      }
      for (std::size_t other = 0; other < event->size(); ++other) {
        known_[stream][other] = std::max(known_[stream][other], (*event)[other]);
      }
    }
    return true;
  }

  const Body& body_;
  std::vector<Progress> known_;
  std::vector<std::optional<Progress>> recorded_;
};

}  // namespace

TEST_CASE("no two streams race for a communicator", "[strategies]") {
  // Else two ranks might issue its collectives in different orders, and NCCL would hang.
  ProgramMaker maker(1);
  const EventId done = maker.event(0);
  maker.op(0, Collective{CollectiveKind::all_reduce, 0, 8_B});
  maker.op(0, Collective{CollectiveKind::all_reduce, 0, 8_B}, Phase::forward, 1);
  CHECK_FALSE(HappensBefore(maker.program().bodies[0]).orders_collectives({GroupId(0)}));
  maker.op(0, Record{done});
  Body ordered = maker.program().bodies[0];
  auto& second = ordered.streams[1].ops;
  second.insert(second.begin(), second.front());
  second.front().action = Wait{done};
  CHECK(HappensBefore(ordered).orders_collectives({GroupId(0)}));

  RandomRuns runs(6);
  for (int i = 0; i < 200; ++i) {
    const Run run = runs.next();
    INFO(describe(run));
    const Program program = lower(run);
    for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
      const Rank rank = layout_of(run).rank(0, 0, static_cast<std::size_t>(stage));
      CHECK(HappensBefore(program.body_of(rank))
                .orders_collectives(program.ranks[rank.index()].communicators));
    }
  }
}

TEST_CASE("every program can finish and carries the bytes of its strategies", "[strategies]") {
  RandomRuns runs(5);
  for (int i = 0; i < 300; ++i) {
    const Run run = runs.next();
    INFO(describe(run));
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
      const Rank rank = layout_of(run).rank(0, 0, static_cast<std::size_t>(stage));
      const StageShape shape = stage_shape(run, stage);
      check_data_axes(run, program, rank, shape);
      check_context_axis(run, program, rank, shape);
      check_tensor_axis(run, program, rank);
    }
  }
}

TEST_CASE("the parts of a step add up to it exactly, and it is no shorter than any resource's work",
          "[strategies]") {
  RandomRuns runs(1);
  for (int i = 0; i < 200; ++i) {
    const Run run = runs.next();
    INFO(describe(run));
    const Played played = play_run(run);
    const Picoseconds step = to_picoseconds(played.timeline.end);
    const FlopsPerSecond peak = run.cluster.gpu.peak.at(run.training.precision).value;
    for (std::size_t rank = 0; rank < played.program.ranks.size(); ++rank) {
      check_books(breakdown(played.program, played.timeline, Rank(rank)), step);
      CHECK(played.timeline.end > gemm_flops(played.program, Rank(rank)) / peak);
    }
    check_books(mean_breakdown(played.program, played.timeline), step);
    const LinkLoad load(played.program, PlatformCosts(*played.machine));
    CHECK(played.timeline.end >= load.least_time(played.machine->network()));
  }
}

TEST_CASE("a step takes the same time whenever it is simulated", "[strategies]") {
  // Equal to the bit in a fresh process. Within one, SimGrid's clock goes on from world to world
  // and loses bits: after minutes of simulated time 1e-14 s are left of a step of milliseconds.
  RandomRuns runs(3);
  for (int i = 0; i < 20; ++i) {
    const Run run = runs.next();
    INFO(describe(run));
    const double once = play_run(run).timeline.end.value;
    const double again = play_run(run).timeline.end.value;
    CHECK(std::abs(again - once) <= 1e-11 * once);
  }
}

TEST_CASE("more bandwidth never makes a step slower", "[strategies]") {
  // Exactly so where ranks communicate in step. Where flows of several groups overlap, a flow that
  // starts earlier may meet another one on a NIC that it missed before (Graham's anomalies of
  // scheduling), so there it holds within a per cent.
  RandomRuns runs(4);
  for (int i = 0; i < 25; ++i) {
    const Run run = runs.next();
    INFO(describe(run));
    const bool is_in_step =
        run.parallel.pipeline == 1 && run.parallel.zero < 3 && !run.stack.overlap_gradients &&
        !run.stack.overlap_parameters && !run.stack.overlap_tensor_parallel &&
        !run.stack.overlap_context && !run.stack.overlap_shared_experts &&
        run.parallel.grid.context_kind != "ring" && run.stack.hidden_tensor_parallel.value == 0;
    const double most = 1 + (is_in_step ? 1e-9 : 1e-2);
    const double time = play_run(run).timeline.end.value;
    Run inside = run;
    inside.cluster.node.rate.value *= 1.7;
    CHECK(play_run(inside).timeline.end.value < time * most);
    Run between = run;
    between.cluster.fabric.rate.value *= 1.7;
    CHECK(play_run(between).timeline.end.value < time * most);
  }
}

}  // namespace foretrain::testing
