// Adds up what the ranks of a program send and compute.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

#include "sim/program/program.hpp"

namespace foretrain::testing {

struct Volume {
  std::int64_t count = 0;
  Bytes bytes;  ///< payloads
};

/// Calls `use(op)` for every op of a rank.
template <class Use>
void for_every_op(const Program& program, Rank rank, Use use) {
  for (const Stream& stream : program.body_of(rank).streams) {
    for (const Op& op : stream.ops) {
      use(op);
    }
  }
}

/// Collectives of one kind that a rank takes part in on one axis; only those of a phase, if given.
inline Volume collectives(const Program& program, Rank rank, std::string_view axis,
                          CollectiveKind kind, std::optional<Phase> phase = std::nullopt) {
  Volume sum;
  for_every_op(program, rank, [&](const Op& op) {
    const auto* collective = std::get_if<Collective>(&op.action);
    if (collective == nullptr || collective->kind != kind || (phase && op.phase != *phase)) {
      return;
    }
    const GroupId group = program.ranks[rank.index()].communicators.at(collective->communicator);
    if (program.text(program.groups[group.index()].axis) == axis) {
      ++sum.count;
      sum.bytes += collective->payload;
    }
  });
  return sum;
}

/// All that one rank sends to others, point to point.
inline Volume sends(const Program& program, Rank rank) {
  Volume sum;
  for_every_op(program, rank, [&](const Op& op) {
    if (const auto* send = std::get_if<Send>(&op.action)) {
      ++sum.count;
      sum.bytes += send->payload;
    }
  });
  return sum;
}

/// The same, of all ranks.
inline Volume all_sends(const Program& program) {
  Volume sum;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    const Volume one = sends(program, Rank(rank));
    sum.count += one.count;
    sum.bytes += one.bytes;
  }
  return sum;
}

/// Bytes that rank 0 copies to its host, from it or inside it.
inline double copied(const Program& program, CopyDirection direction) {
  double sum = 0;
  for_every_op(program, Rank(0), [&](const Op& op) {
    const auto* copy = std::get_if<HostCopy>(&op.action);
    sum += copy != nullptr && copy->direction == direction ? copy->bytes.value : 0;
  });
  return sum;
}

/// FLOPs of the GEMMs of one rank; flash attention not counted.
inline Flops gemm_flops(const Program& program, Rank rank) {
  Flops sum;
  for_every_op(program, rank, [&](const Op& op) {
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        if (std::holds_alternative<Gemm>(kernel.shape)) {
          sum += flops(kernel);
        }
      }
    }
  });
  return sum;
}

/// What a rank holds at most of all that comes and goes. Right where all of it is accounted for on
/// the compute stream: then the order is that of its ops, whatever the time.
inline Bytes peak_held(const Program& program, Rank rank) {
  Bytes held;
  Bytes peak;
  for_every_op(program, rank, [&](const Op& op) {
    if (const auto* alloc = std::get_if<Alloc>(&op.action)) {
      held += alloc->bytes;
    } else if (const auto* free = std::get_if<Free>(&op.action)) {
      held -= free->bytes;
    }
    peak = std::max(peak, held);
  });
  return peak;
}

inline Bytes resident(const Program& program, Rank rank, MemoryClass memory) {
  Bytes sum;
  for (const Resident& held : program.body_of(rank).resident) {
    if (held.memory == memory) {
      sum += held.bytes;
    }
  }
  return sum;
}

}  // namespace foretrain::testing
