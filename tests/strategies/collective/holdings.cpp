// SPDX-License-Identifier: Apache-2.0
#include "tests/strategies/collective/holdings.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace foretrain::testing {
namespace {

/// How often the contribution of each member is in a chunk.
using Content = std::vector<int>;

class Holdings {
 public:
  Holdings(CollectiveKind kind, std::size_t n, std::size_t switches, const Moves& moves)
      : kind_(kind), n_(n), chunks_(moves.num_chunks()) {
    held_.assign(n + switches, std::vector<Content>(chunks_, Content(n, 0)));
    for (std::size_t member = 0; member < n; ++member) {
      for (std::size_t chunk = 0; chunk < chunks_; ++chunk) {
        held_[member][chunk][member] = starts_with(member, chunk) ? 1 : 0;
      }
    }
  }

  /// Empty, or what is wrong with a move.
  std::string step(const std::vector<Move>& moves) {
    std::vector<std::pair<const Move*, std::vector<Content>>> under_way;
    under_way.reserve(moves.size());
    for (const Move& move : moves) {
      if (move.from == move.to || move.chunks.empty()) {
        return "a move to oneself, or of nothing";
      }
      std::vector<Content> contents;
      for (const std::uint32_t chunk : move.chunks) {
        contents.push_back(held_.at(move.from).at(chunk));
        if (std::count(contents.back().begin(), contents.back().end(), 0) ==
            static_cast<std::ptrdiff_t>(n_)) {
          return std::to_string(move.from) + " sends chunk " + std::to_string(chunk) +
                 " without having any of it";
        }
      }
      under_way.emplace_back(&move, std::move(contents));
    }
    for (const auto& [move, contents] : under_way) {
      for (std::size_t i = 0; i < contents.size(); ++i) {
        Content& there = held_.at(move->to).at(move->chunks[i]);
        for (std::size_t member = 0; member < n_; ++member) {
          there[member] = (move->reduces ? there[member] : 0) + contents[i][member];
        }
      }
    }
    return "";
  }

  std::string fault() const {
    for (std::size_t member = 0; member < n_; ++member) {
      for (std::size_t chunk = 0; chunk < chunks_; ++chunk) {
        if (ends_with(member, chunk) && held_[member][chunk] != promised(chunk)) {
          return "member " + std::to_string(member) + " ends without chunk " +
                 std::to_string(chunk);
        }
      }
    }
    return "";
  }

 private:
  [[nodiscard]] std::size_t owner(std::size_t chunk) const { return chunk * n_ / chunks_; }

  [[nodiscard]] bool starts_with(std::size_t member, std::size_t chunk) const {
    switch (kind_) {
      case CollectiveKind::all_gather:
        return owner(chunk) == member;
      case CollectiveKind::all_to_all:
        return chunk / n_ == member;
      case CollectiveKind::broadcast:
        return member == 0;
      default:
        return true;
    }
  }
  [[nodiscard]] bool ends_with(std::size_t member, std::size_t chunk) const {
    switch (kind_) {
      case CollectiveKind::reduce_scatter:
        return owner(chunk) == member;
      case CollectiveKind::all_to_all:
        return chunk % n_ == member;
      case CollectiveKind::reduce:
        return member == 0;
      default:
        return true;
    }
  }
  [[nodiscard]] Content promised(std::size_t chunk) const {
    Content only(n_, 0);
    switch (kind_) {
      case CollectiveKind::all_gather:
        only[owner(chunk)] = 1;
        return only;
      case CollectiveKind::all_to_all:
        only[chunk / n_] = 1;
        return only;
      case CollectiveKind::broadcast:
        only[0] = 1;
        return only;
      default:
        return Content(n_, 1);
    }
  }

  CollectiveKind kind_;
  std::size_t n_;
  std::size_t chunks_;
  std::vector<std::vector<Content>> held_;  // by member or switch, and chunk
};

/// Links of one move: a whole route, or the half of it before or behind the switch of a node.
std::vector<LinkId> links_of(const Move& move, const CollectiveRequest& request,
                             const Machine& machine) {
  const std::size_t n = request.devices.size();
  std::vector<LinkId> links;
  if (move.from < n && move.to < n) {
    machine.append_route(request.devices[move.from], request.devices[move.to], links);
    return links;
  }
  const bool is_up = move.from < n;
  const DeviceId device = request.devices[is_up ? move.from : move.to];
  const auto other =
      std::find_if(request.devices.begin(), request.devices.end(), [&](DeviceId candidate) {
        return candidate != device && machine.node_of(candidate) == machine.node_of(device);
      });
  machine.append_route(is_up ? device : *other, is_up ? *other : device, links);
  return {is_up ? links.front() : links.back()};
}

}  // namespace

std::string fault_of(CollectiveKind kind, std::size_t num_members, std::size_t num_nodes,
                     const Moves& moves) {
  Holdings holdings(kind, num_members, num_nodes, moves);
  for (const std::vector<Move>& step : moves.steps) {
    if (const std::string fault = holdings.step(step); !fault.empty()) {
      return fault;
    }
  }
  return holdings.fault();
}

std::vector<double> bytes_by_link(const Moves& moves, const CollectiveRequest& request,
                                  const Machine& machine) {
  std::vector<double> bytes(machine.network().links.size(), 0);
  for (const std::vector<Move>& step : moves.steps) {
    for (const Move& move : step) {
      double moved = 0;
      for (const std::uint32_t chunk : move.chunks) {
        moved += request.payload.value * moves.shares[chunk];
      }
      for (const LinkId link : links_of(move, request, machine)) {
        bytes[link.index()] += moved;
      }
    }
  }
  return bytes;
}

std::vector<double> bytes_by_link(const FlowSchedule& schedule, const Machine& machine) {
  std::vector<double> bytes(machine.network().links.size(), 0);
  for (const FlowPhase& phase : schedule.phases) {
    for (const Flow& flow : phase.flows) {
      for (const LinkId link : flow.links) {
        bytes[link.index()] += flow.bytes.value;
      }
    }
  }
  return bytes;
}

}  // namespace foretrain::testing
