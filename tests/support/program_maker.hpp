// Makes small programs by hand: one body per rank, ops added one after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/program/program.hpp"

namespace foretrain::testing {

/// A program of `num_ranks` ranks, each with a body of its own and a compute stream.
/// Group 0 is all ranks; every rank has every rank as the peer of that number.
class ProgramMaker {
 public:
  explicit ProgramMaker(std::size_t num_ranks) {
    Program& program = builder_.program;
    const NameId axis = builder_.name("data");
    op_name_ = builder_.name("op");
    std::vector<Rank> all;
    for (std::size_t rank = 0; rank < num_ranks; ++rank) {
      all.push_back(Rank(rank));
    }
    program.groups.push_back({axis, all});
    for (std::size_t rank = 0; rank < num_ranks; ++rank) {
      Body body;
      body.name = "rank " + std::to_string(rank);
      body.streams.push_back({"compute", {}});
      program.bodies.push_back(body);
      program.ranks.push_back({BodyId(rank), DeviceId(rank), {GroupId(0)}, all});
    }
  }

  ProgramMaker& op(std::size_t rank, const Action& action, Phase phase = Phase::forward,
                   std::size_t stream = 0) {
    Body& body = builder_.program.bodies[rank];
    while (body.streams.size() <= stream) {
      body.streams.push_back({"stream " + std::to_string(body.streams.size()), {}});
    }
    body.streams[stream].ops.push_back({action, op_name_, phase, -1, -1});
    return *this;
  }
  /// An event for record() and wait() ops of this rank.
  EventId event(std::size_t rank) { return EventId(builder_.program.bodies[rank].num_events++); }
  KernelListId kernels(std::size_t count) {
    return builder_.kernel_list(std::vector<Kernel>(count, Kernel{op_name_, MemoryBound{}}));
  }
  GroupId group(std::vector<Rank> members) {
    builder_.program.groups.push_back({builder_.name("pair"), std::move(members)});
    return GroupId(builder_.program.groups.size() - 1);
  }
  Program& program() { return builder_.program; }

 private:
  ProgramBuilder builder_;
  NameId op_name_;
};

}  // namespace foretrain::testing
