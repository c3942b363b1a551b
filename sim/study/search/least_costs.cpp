// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/least_costs.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "sim/core/error.hpp"
#include "strategies/collective/nccl.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

std::vector<Rank> expert_ranks(const Run& run, const Layout& layout, const RankPlace& place,
                               std::uint32_t slot) {
  if (!has_expert_grid(run)) {
    return {};
  }
  const bool needs_nodes = expert_dispatch(run.stack.expert_dispatch).needs_nodes;
  if ((slot == kExpertNodeGroup || slot == kExpertRailGroup) && !needs_nodes) {
    return {};
  }
  const Partition partition = expert_partition(run, slot);
  const std::size_t first = partition.first_of(place.tensor + layout.tensor * place.data);
  const auto members = [&](std::size_t stage) {
    return layout.places(first, partition.count, partition.step, stage);
  };
  const bool is_with_twin = slot == kExpertDataGroup || slot == kExpertReplicaGroup;
  return is_with_twin ? layout.with_twin(place.stage, members) : members(place.stage);
}

std::vector<Rank> ranks_of(const Run& run, const Layout& layout, const RankPlace& place,
                           std::uint32_t slot) {
  const auto& [t, d, s] = place;
  switch (slot) {
    case kTensorGroup:
      return layout.tensor_group(d, s);
    case kDataGroup:
      return layout.data_group(t, s);
    case kModelGroup:
      return layout.model_group(d);
    case kContextGroup:
      return layout.context_group(t, d / layout.context, s);
    case kShardGroup:
    case kParameterGroup:
      return layout.shard_group(t, d / layout.shard, s);
    case kReplicaGroup:
      return layout.replica_group(t, d % layout.shard, s);
    case kEmbeddingGroup:
      return layout.embedding_group(t, d);
    default:
      return slot < kNumGroupSlots && slot != kSecondaryGroup
                 ? expert_ranks(run, layout, place, slot)
                 : std::vector<Rank>{};
  }
}

// Devices take as long wherever they are: one kind of nodes, and a fabric without places.
bool looks_alike_everywhere(const Run& run) {
  return run.cluster.parts.empty() && run.cluster.slow_ports.empty() &&
         run.cluster.fabric_wiring->name() == "non_blocking" &&
         run.variation.link_capacities.empty();
}

// A payload so large that nothing but its bytes counts, and larger than any.
constexpr Bytes kHuge{1e12};

// The engine carries whole bytes.
Bytes whole(Bytes bytes) { return Bytes(std::floor(bytes.value)); }

/// Plays the streams of a body as far as they can go, one after the other, until all are done.
class Playing {
 public:
  Playing(const Body& body, std::function<Seconds(const Op&)> time)
      : body_(body),
        time_(std::move(time)),
        next_(body.streams.size(), 0),
        now_(body.streams.size(), Seconds(-std::numeric_limits<double>::infinity())),
        events_(body.num_events) {
    now_.front() = Seconds(0);
  }

  Seconds end_of_compute() {
    bool is_going_on = true;
    while (is_going_on) {
      is_going_on = false;
      for (std::size_t stream = 0; stream < next_.size(); ++stream) {
        is_going_on = advance(stream) || is_going_on;
      }
    }
    FORETRAIN_ASSERT(next_.front() == body_.streams.front().ops.size(), "a stream that waits");
    return now_.front();
  }

 private:
  bool advance(std::size_t stream) {
    const std::vector<Op>& ops = body_.streams[stream].ops;
    const std::size_t before = next_[stream];
    while (next_[stream] < ops.size() && play(ops[next_[stream]], now_[stream])) {
      ++next_[stream];
    }
    return next_[stream] > before;
  }

  // False where it has to wait.
  bool play(const Op& op, Seconds& now) {
    if (const auto* record = std::get_if<Record>(&op.action)) {
      events_[record->event.index()] = now;
    } else if (const auto* wait = std::get_if<Wait>(&op.action)) {
      const auto& event = events_[wait->event.index()];
      if (!event) {
        return false;
      }
      now = std::max(now, *event);
    } else {
      now += time_(op);
    }
    return true;
  }

  const Body& body_;
  std::function<Seconds(const Op&)> time_;
  std::vector<std::size_t> next_;
  std::vector<Seconds> now_;
  std::vector<std::optional<Seconds>> events_;
};

}  // namespace

std::vector<DeviceId> devices_of(const Run& run, const Layout& layout, const RankPlace& place,
                                 std::uint32_t slot) {
  const std::vector<Rank> ranks = ranks_of(run, layout, place, slot);
  std::vector<DeviceId> devices;
  devices.reserve(ranks.size());
  for (const Rank rank : ranks) {
    devices.emplace_back(rank.index());
  }
  return devices;
}

Seconds LeastMessage::time(Bytes payload) const {
  return latency + Seconds(whole(payload).value * seconds_per_byte);
}

LeastCosts::LeastCosts(const Run& run)
    : machine_(build_machine(run)),
      costs_(*machine_, run.variation, run.collectives),
      is_uniform_(looks_alike_everywhere(run)),
      has_degraded_links_(!run.variation.link_capacities.empty()),
      has_unlike_devices_(!run.cluster.parts.empty() || !run.variation.device_speeds.empty()) {}

std::uint32_t LeastCosts::pattern(const std::vector<DeviceId>& devices) {
  std::vector<std::uint32_t> key;
  key.reserve(devices.size() + 2);
  const std::size_t node = devices.empty() ? 0 : machine_->node_of(devices.front());
  const bool is_inside = std::all_of(devices.begin(), devices.end(), [&](DeviceId device) {
    return machine_->node_of(device) == node;
  });
  const bool moves = is_uniform_ || (is_inside && !has_degraded_links_);
  key.push_back(moves ? 0U : 1U);
  key.push_back(moves ? static_cast<std::uint32_t>(machine_->kind_of(node)) : 0U);
  const std::size_t first =
      moves ? node * static_cast<std::size_t>(machine_->cluster().gpus_per_node) : 0;
  for (const DeviceId device : devices) {
    key.push_back(static_cast<std::uint32_t>(device.index() - first));
  }
  return patterns_.try_emplace(std::move(key), static_cast<std::uint32_t>(patterns_.size()))
      .first->second;
}

Seconds LeastCosts::least_time(const FlowSchedule& schedule) const {
  return time_alone(schedule, *machine_, true);
}

Seconds LeastCosts::collective(CollectiveKind kind, Bytes payload,
                               const std::vector<DeviceId>& devices) {
  if (devices.size() < 2) {
    return Seconds(0);
  }
  const auto [place, is_new] = collectives_.try_emplace({kind, payload, pattern(devices)});
  if (is_new) {
    place->second = least_time(costs_.collective(kind, payload, devices));
  }
  return place->second;
}

double LeastCosts::seconds_per_byte(CollectiveKind kind, const std::vector<DeviceId>& devices) {
  return collective(kind, kHuge, devices) / Seconds(1) / kHuge.value;
}

bool LeastCosts::has_links_for_each() const {
  const auto kinds = machine_->cluster().kinds();
  return std::all_of(kinds.begin(), kinds.end(), [](const Cluster* kind) {
    return kind->nics_per_node >= kind->gpus_per_node && kind->node_wiring->name() == "nvswitch";
  });
}

double LeastCosts::shared_seconds_per_byte(CollectiveKind kind,
                                           const std::vector<std::vector<DeviceId>>& groups) {
  const auto [place, is_new] =
      shared_.try_emplace({kind, groups.size(), pattern(groups.front())}, 0.0);
  if (!is_new) {
    return place->second;
  }
  std::map<LinkId, Bytes> loads;
  for (const std::vector<DeviceId>& group : groups) {
    for (const FlowPhase& phase : costs_.collective(kind, kHuge, group).phases) {
      for (const Flow& flow : phase.flows) {
        for (const LinkId link : flow.links) {
          loads[link] += flow.bytes;
        }
      }
    }
  }
  Seconds longest(0);
  for (const auto& [link, load] : loads) {
    longest = std::max(longest, load / machine_->network().links[link.index()].capacity);
  }
  place->second = longest.value / kHuge.value;
  return place->second;
}

LeastMessage LeastCosts::message(DeviceId from, DeviceId to) {
  const FlowSchedule schedule = costs_.point_to_point(kHuge, from, to);
  LeastMessage message;
  for (const FlowPhase& phase : schedule.phases) {
    message.latency += phase.latency;
  }
  message.seconds_per_byte = (least_time(schedule) - message.latency).value / kHuge.value;
  return message;
}

double LeastCosts::host_seconds_per_byte(DeviceId device, CopyDirection direction) const {
  return least_time(costs_.host_copy(device, direction, kHuge)).value / kHuge.value;
}

Seconds LeastCosts::kernels(const std::vector<Kernel>& list, DeviceId device) const {
  Seconds sum(0);
  for (const Kernel& kernel : list) {
    sum += costs_.kernel_time(kernel, device);
  }
  return sum;
}

ComputeTime LeastCosts::compute_time(const Run& run, const Layout& layout, const RankPlace& place,
                                     const Body& body, const Program& program) {
  const DeviceId device(layout.rank(place.tensor, place.data, place.stage).index());
  const auto kernels_of = [&](const Kernels& op) {
    return std::max(op.launches, kernels(program.kernel_lists[op.list.index()], device));
  };
  // Messages that are not the pipeline's go round the ranks that share a sequence.
  const auto to_neighbour = [&](Bytes payload) {
    const std::size_t first = place.data / layout.context * layout.context;
    const std::size_t next = first + (place.data - first + 1) % layout.context;
    const DeviceId other(layout.rank(place.tensor, next, place.stage).index());
    return message(device, other).time(payload);
  };
  ComputeTime time;
  const auto time_of = [&](const Op& op) {
    if (const auto* list = std::get_if<Kernels>(&op.action)) {
      return kernels_of(*list);
    }
    if (const auto* delay = std::get_if<Delay>(&op.action)) {
      return delay->duration;
    }
    if (const auto* what = std::get_if<Collective>(&op.action)) {
      return collective(what->kind, what->payload,
                        devices_of(run, layout, place, what->communicator));
    }
    if (const auto* send = std::get_if<Send>(&op.action)) {
      return send->peer == kNextContext ? to_neighbour(send->payload) : Seconds(0);
    }
    return Seconds(0);
  };
  for (const Op& op : body.streams.front().ops) {
    if (std::holds_alternative<Kernels>(op.action) || std::holds_alternative<Delay>(op.action)) {
      time.kernels += time_of(op);
    }
  }
  time.stream = Playing(body, time_of).end_of_compute();
  return time;
}

}  // namespace foretrain
