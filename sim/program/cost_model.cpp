// SPDX-License-Identifier: Apache-2.0
#include "sim/program/cost_model.hpp"

#include "sim/core/error.hpp"

namespace foretrain {

FlowSchedule CostModel::host_copy(DeviceId, CopyDirection, Bytes) const {
  throw InternalError("a platform that says nothing of its hosts cannot copy to them");
}

FlowSchedule CostModel::host_copy_of(const Program& program, Rank rank, CopyDirection direction,
                                     Bytes bytes) const {
  return host_copy(program.ranks[rank.index()].device, direction, bytes);
}

FlowSchedule CostModel::collective_of(const Program& program, GroupId group, CollectiveKind kind,
                                      Bytes payload) const {
  const std::vector<Rank>& members = program.groups[group.index()].members;
  std::vector<DeviceId> devices;
  devices.reserve(members.size());
  for (const Rank member : members) {
    devices.push_back(program.ranks[member.index()].device);
  }
  return collective(kind, payload, devices);
}

FlowSchedule CostModel::message_of(const Program& program, Rank from, Rank to, std::uint32_t,
                                   Bytes payload) const {
  return point_to_point(payload, program.ranks[from.index()].device,
                        program.ranks[to.index()].device);
}

}  // namespace foretrain
