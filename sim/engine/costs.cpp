// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/costs.hpp"

#include <utility>

#include "sim/core/error.hpp"
#include "sim/engine/lone_collectives.hpp"

namespace foretrain {

CostTable::CostTable(const Program& program, const CostModel& costs)
    : program_(program), costs_(costs) {
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    for (const Stream& stream : program.body_of(Rank(rank)).streams) {
      for (const Op& op : stream.ops) {
        ask(program.ranks[rank], Rank(rank), op);
      }
    }
  }
  time_lone_collectives();
  links_ = binding_links(costs.network(), routes_);
}

void CostTable::ask(const RankBinding& binding, Rank rank, const Op& op) {
  if (const auto* collective = std::get_if<Collective>(&op.action)) {
    const GroupId group = binding.communicators[collective->communicator];
    const auto [place, is_new] =
        collectives_.try_emplace({group, collective->kind, collective->payload});
    if (is_new) {
      place->second.schedule = number_routes(
          costs_.collective_of(program_, group, collective->kind, collective->payload));
    }
  } else if (const auto* send = std::get_if<Send>(&op.action)) {
    ask_message(rank, binding.peers[send->peer], send->channel, send->payload);
  } else if (const auto* recv = std::get_if<Recv>(&op.action)) {
    ask_message(binding.peers[recv->peer], rank, recv->channel, recv->payload);
  } else if (const auto* copy = std::get_if<HostCopy>(&op.action)) {
    const auto [place, is_new] = host_copies_.try_emplace({rank, copy->direction, copy->bytes});
    if (is_new) {
      place->second =
          number_routes(costs_.host_copy_of(program_, rank, copy->direction, copy->bytes));
    }
  }
}

void CostTable::ask_message(Rank from, Rank to, std::uint32_t channel, Bytes payload) {
  const auto [place, is_new] = messages_.try_emplace({from, to, channel, payload});
  if (is_new) {
    place->second = number_routes(costs_.message_of(program_, from, to, channel, payload));
  }
}

RoutedSchedule CostTable::number_routes(const FlowSchedule& schedule) {
  FORETRAIN_ASSERT(schedule.compute_share >= 0 && schedule.compute_share < 1,
                   "a communication that leaves nothing to compute with");
  RoutedSchedule routed;
  if (!schedule.phases.empty() && schedule.compute_share > 0) {
    routed.compute_share = schedule.compute_share;
    compute_shares_.insert(schedule.compute_share);
  }
  for (const FlowPhase& phase : schedule.phases) {
    RoutedPhase& out = routed.phases.emplace_back();
    out.latency = phase.latency;
    for (const Flow& flow : phase.flows) {
      out.transfers.push_back({route({flow.links, flow.rate_limit}), flow.bytes});
    }
  }
  return routed;
}

RouteId CostTable::route(Route route) {
  const auto [place, is_new] = route_ids_.try_emplace(route, RouteId(routes_.size()));
  if (is_new) {
    routes_.push_back(std::move(route));
  }
  return place->second;
}

void CostTable::time_lone_collectives() {
  LoneCollectives lone(program_, costs_.network(), routes_);
  for (const auto& [key, collective] : collectives_) {
    lone.add_collective(std::get<GroupId>(key), collective.schedule);
  }
  for (const auto& [key, schedule] : messages_) {
    lone.add_message(schedule);
  }
  for (const auto& [key, schedule] : host_copies_) {
    lone.add_message(schedule);
  }
  for (auto& [key, collective] : collectives_) {
    collective.alone = lone.time(std::get<GroupId>(key), collective.schedule);
  }
}

Seconds CostTable::kernels(KernelListId list, DeviceId device) {
  const std::uint64_t key = (static_cast<std::uint64_t>(list.value) << 32U) | device.value;
  const auto [place, is_new] = kernel_lists_.try_emplace(key);
  if (is_new) {
    for (const Kernel& kernel : program_.kernel_lists[list.index()]) {
      place->second += costs_.kernel_time(kernel, device);
    }
  }
  return place->second;
}

const RoutedCollective& CostTable::collective(GroupId group, const Collective& op) const {
  return collectives_.at({group, op.kind, op.payload});
}

const RoutedSchedule& CostTable::message(Rank from, Rank to, std::uint32_t channel,
                                         Bytes payload) const {
  return messages_.at({from, to, channel, payload});
}

const RoutedSchedule& CostTable::host_copy(Rank rank, const HostCopy& copy) const {
  return host_copies_.at({rank, copy.direction, copy.bytes});
}

}  // namespace foretrain
