// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/lump.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "sim/core/error.hpp"
#include "sim/lump/colours.hpp"

namespace foretrain {
namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

/// Classes in the order of their first members.
struct Classes {
  std::vector<std::size_t> of;       ///< class of each member
  std::vector<std::size_t> first;    ///< representative of each class
  std::vector<std::size_t> members;  ///< size of each class
};

template <class ColourOf>
Classes classes(std::size_t count, ColourOf colour_of) {
  Classes result;
  std::unordered_map<Colour, std::size_t> known;
  for (std::size_t i = 0; i < count; ++i) {
    const auto [place, is_new] = known.try_emplace(colour_of(i), result.first.size());
    if (is_new) {
      result.first.push_back(i);
      result.members.push_back(0);
    }
    result.of.push_back(place->second);
    ++result.members[place->second];
  }
  return result;
}

}  // namespace

class QuotientBuilder {
 public:
  QuotientBuilder(const Program& program, const CostModel& costs, Quotient& quotient)
      : full_(program), quotient_(quotient), graph_(program, costs) {
    graph_.refine();
    ranks_ = classes(program.ranks.size(), [&](std::size_t i) { return graph_.rank(Rank(i)); });
    groups_ = classes(program.groups.size(), [&](std::size_t i) { return graph_.group(i); });
    links_ = classes(graph_.num_links(), [&](std::size_t i) { return graph_.link(i); });
    for (const std::size_t link : links_.first) {
      quotient_.network_.links.push_back(costs.network().links[link]);
    }
    count_crossings();
  }

  void build() {
    Program& small = quotient_.program_;
    small.names = full_.names;
    small.kernel_lists = full_.kernel_lists;
    small.bodies = full_.bodies;
    for (const std::size_t group : groups_.first) {
      small.groups.push_back({full_.groups[group].axis, members_of(group)});
    }
    for (const std::size_t rank : ranks_.first) {
      small.ranks.push_back(bind(rank));
      quotient_.devices_.push_back(full_.ranks[rank].device);
    }
    for (const std::size_t of : ranks_.of) {
      quotient_.class_of_.push_back(Rank(of));
    }
    quotient_.weights_ = ranks_.members;
    add_collectives();
    add_messages();
  }

 private:
  /// Classes of a group's members, each once.
  [[nodiscard]] std::vector<Rank> members_of(std::size_t group) const {
    std::vector<Rank> members;
    for (const Rank member : full_.groups[group].members) {
      const Rank representative(ranks_.of[member.index()]);
      if (std::find(members.begin(), members.end(), representative) == members.end()) {
        members.push_back(representative);
      }
    }
    return members;
  }

  [[nodiscard]] RankBinding bind(std::size_t rank) const {
    RankBinding binding = full_.ranks[rank];
    binding.device = DeviceId(ranks_.of[rank]);
    for (GroupId& group : binding.communicators) {
      group = GroupId(groups_.of[group.index()]);
    }
    for (Rank& peer : binding.peers) {
      peer = Rank(ranks_.of[peer.index()]);
    }
    return binding;
  }

  // How often all flows of a class together cross the representative of each class of links.
  void count_crossings() {
    std::vector<std::size_t> class_of_first(graph_.num_links(), kNone);
    for (std::size_t i = 0; i < links_.first.size(); ++i) {
      class_of_first[links_.first[i]] = i;
    }
    for (const Instance& instance : graph_.instances()) {
      std::size_t index = instance.first_flow;
      for (const FlowPhase& phase : instance.schedule.phases) {
        for (const Flow& flow : phase.flows) {
          const Colour colour = graph_.flow(index++);
          for (const LinkId link : flow.links) {
            if (class_of_first[link.index()] != kNone) {
              ++crossings_[colour][class_of_first[link.index()]];
            }
          }
        }
      }
    }
  }

  // One flow for each class of flows in a phase.
  [[nodiscard]] FlowSchedule lumped(const Instance& instance) const {
    FlowSchedule small;
    std::size_t index = instance.first_flow;
    for (const FlowPhase& phase : instance.schedule.phases) {
      FlowPhase& out = small.phases.emplace_back();
      out.latency = phase.latency;
      std::vector<Colour> seen;
      for (const Flow& flow : phase.flows) {
        const Colour colour = graph_.flow(index++);
        if (std::find(seen.begin(), seen.end(), colour) != seen.end()) {
          continue;
        }
        seen.push_back(colour);
        Flow& lumped = out.flows.emplace_back(Flow{flow.bytes, {}, flow.rate_limit});
        const auto crossed = crossings_.find(colour);
        FORETRAIN_ASSERT(flow.links.empty() || crossed != crossings_.end(),
                         "a class of flows crosses no representative");
        if (crossed != crossings_.end()) {
          for (const auto& [link, times] : crossed->second) {
            lumped.links.insert(lumped.links.end(), times, LinkId(link));
          }
        }
      }
    }
    return small;
  }

  void add_collectives() {
    for (const auto& [key, index] : graph_.collectives()) {
      const auto& [group, kind, payload] = key;
      const std::size_t of = groups_.of[group];
      if (groups_.first[of] == group) {
        quotient_.collectives_.emplace(std::tuple{GroupId(of), kind, payload},
                                       lumped(graph_.instances()[index]));
      }
    }
  }

  // Messages between two classes are alike: their flows take in the colours of both ends. Where a
  // rank sends to two ranks of one class over unlike links, those links would differ in colour, and
  // a postbox could not tell the messages apart.
  void add_messages() {
    for (const auto& [key, index] : graph_.messages()) {
      const auto& [from, to, payload] = key;
      if (ranks_.first[ranks_.of[from.index()]] != from.index()) {
        continue;
      }
      FlowSchedule schedule = lumped(graph_.instances()[index]);
      const std::tuple place{DeviceId(ranks_.of[from.index()]), DeviceId(ranks_.of[to.index()]),
                             payload};
      const auto [known, is_new] = quotient_.messages_.try_emplace(place, std::move(schedule));
      if (!is_new && colour_of(index) != colours_.at(place)) {
        throw InternalError("a rank sends unlike messages to two ranks of one class");
      }
      colours_.emplace(place, colour_of(index));
    }
  }

  [[nodiscard]] Colour colour_of(std::size_t index) const {
    const Instance& instance = graph_.instances()[index];
    Colour colour = instance.kind;
    std::size_t flow = instance.first_flow;
    for (const FlowPhase& phase : instance.schedule.phases) {
      for (std::size_t i = 0; i < phase.flows.size(); ++i) {
        colour = mix(colour, graph_.flow(flow++));
      }
    }
    return colour;
  }

  const Program& full_;
  Quotient& quotient_;
  ColouredGraph graph_;
  Classes ranks_;
  Classes groups_;
  Classes links_;
  std::unordered_map<Colour, std::map<std::size_t, std::size_t>> crossings_;
  std::map<std::tuple<DeviceId, DeviceId, Bytes>, Colour> colours_;
};

Quotient::Quotient(const Program& program, const CostModel& costs) : costs_(costs) {
  QuotientBuilder(program, costs, *this).build();
}

Seconds Quotient::kernel_time(const Kernel& kernel, DeviceId device) const {
  return costs_.kernel_time(kernel, devices_[device.index()]);
}

FlowSchedule Quotient::collective(CollectiveKind, Bytes, const std::vector<DeviceId>&) const {
  throw InternalError("a quotient's collectives are known by their group");
}

FlowSchedule Quotient::collective_of(GroupId group, CollectiveKind kind, Bytes payload,
                                     const std::vector<DeviceId>&) const {
  return collectives_.at({group, kind, payload});
}

FlowSchedule Quotient::point_to_point(Bytes payload, DeviceId from, DeviceId to) const {
  return messages_.at({from, to, payload});
}

}  // namespace foretrain
