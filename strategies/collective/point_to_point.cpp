// One message between two devices, along the route between them.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/error.hpp"
#include "strategies/collective/collective.hpp"

namespace foretrain {

FlowSchedule point_to_point(Bytes payload, DeviceId from, DeviceId to, const Machine& machine) {
  FORETRAIN_ASSERT(from != to, "a message from a device to itself");
  const bool is_inside = machine.node_of(from) == machine.node_of(to);
  const Interconnect& way = is_inside ? machine.cluster().node : machine.cluster().fabric;
  Flow flow;
  flow.bytes = payload;
  machine.append_route(from, to, flow.links);
  return {{FlowPhase{way.point_to_point_latency.value, {std::move(flow)}}}};
}

}  // namespace foretrain
