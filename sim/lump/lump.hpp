// Exact lumping: ranks that have the same timeline are simulated once.
//
// Ranks, groups, flows and links form a coloured graph. Colours start from what a thing is (a rank:
// its program and hardware; a link: its capacity; a flow: its bytes and rate limit) and are refined
// until every member of a class sees the same number of members of every other class: an equitable
// partition. Why simulating one member per class is then exact, by induction over time: as long as
// all members of every class are in the same state, all flows of a class are under way together. A
// link of class l is crossed by the same number c(f, l) of flows of each class f (counted with
// multiplicity), so the max-min fair rates of the full network, which are unique, are equal within
// classes, and they are those of a network with one link per class of links and one flow per class
// of flows that crosses link l c(f, l) times. Hence the members stay in the same state. (The same
// argument by which colour refinement reduces linear programs exactly: Grohe, Kersting, Mladenov,
// Selman, ESA 2014.)
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "sim/program/cost_model.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// A smaller program whose ranks stand for classes of ranks, and what it costs. Group, rank and
/// device numbers are those of the quotient.
class Quotient : public CostModel {
 public:
  /// REQUIRES: verify(program) holds, and `costs` outlives this.
  Quotient(const Program& program, const CostModel& costs);

  [[nodiscard]] const Program& program() const { return program_; }
  /// The quotient's rank that stands for a rank of the full program.
  [[nodiscard]] Rank representative(Rank full) const { return class_of_[full.index()]; }
  /// How many ranks of the full program each rank of the quotient stands for.
  [[nodiscard]] const std::vector<std::size_t>& weights() const { return weights_; }

  [[nodiscard]] const Network& network() const override { return network_; }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override;
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override;
  [[nodiscard]] FlowSchedule collective_of(GroupId group, CollectiveKind kind, Bytes payload,
                                           const std::vector<DeviceId>& devices) const override;
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override;

 private:
  friend class QuotientBuilder;

  const CostModel& costs_;
  Program program_;
  Network network_;
  std::vector<Rank> class_of_;
  std::vector<std::size_t> weights_;
  std::vector<DeviceId> devices_;  // of the representatives, in the full program
  std::map<std::tuple<GroupId, CollectiveKind, Bytes>, FlowSchedule> collectives_;
  std::map<std::tuple<DeviceId, DeviceId, Bytes>, FlowSchedule> messages_;
};

}  // namespace foretrain
