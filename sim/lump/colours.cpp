// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/colours.hpp"

#include <algorithm>
#include <bit>
#include <set>
#include <utility>

namespace foretrain {
namespace {

std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves half of the
// output's.
std::uint64_t scramble(std::uint64_t word) {
  word += 0x9e3779b97f4a7c15U;
  word = (word ^ (word >> 30U)) * 0xbf58476d1ce4e5b9U;
  word = (word ^ (word >> 27U)) * 0x94d049bb133111ebU;
  return word ^ (word >> 31U);
}

std::size_t count_distinct(std::vector<Colour> colours) {
  std::sort(colours.begin(), colours.end());
  return static_cast<std::size_t>(std::unique(colours.begin(), colours.end()) - colours.begin());
}

}  // namespace

Colour mix(Colour colour, std::uint64_t word) {
  return scramble(scramble(colour) ^ (word + 0x632be59bd9b4e019U));
}

ColouredGraph::ColouredGraph(const Program& program, const CostModel& costs)
    : program_(program), groups_(program.groups.size(), 0) {
  for (const Link& link : costs.network().links) {
    links_.push_back(mix(1, bits(link.capacity.value)));
  }
  for (std::size_t group = 0; group < program.groups.size(); ++group) {
    groups_[group] = mix(2, program.groups[group].members.size());
  }
  colour_ranks(costs);
  collect(costs);
}

// Hardware is told apart by what it takes for the kernels of the body.
void ColouredGraph::colour_ranks(const CostModel& costs) {
  std::vector<std::set<KernelListId>> lists(program_.bodies.size());
  for (std::size_t body = 0; body < program_.bodies.size(); ++body) {
    for (const Stream& stream : program_.bodies[body].streams) {
      for (const Op& op : stream.ops) {
        if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
          lists[body].insert(kernels->list);
        }
      }
    }
  }
  std::map<std::pair<BodyId, std::uint64_t>, Colour> known;  // by body and kind of device
  for (const RankBinding& binding : program_.ranks) {
    const std::uint64_t kind = costs.device_kind(binding.device);
    const auto [place, is_new] = known.try_emplace({binding.body, kind}, mix(3, binding.body.value));
    if (is_new) {
      for (const KernelListId list : lists[binding.body.index()]) {
        for (const Kernel& kernel : program_.kernel_lists[list.index()]) {
          place->second =
              mix(place->second, bits(costs.kernel_time(kernel, binding.device).value));
        }
      }
    }
    ranks_.push_back(place->second);
  }
}

// Every communication once: ranks of one body ask for the same ones.
void ColouredGraph::collect(const CostModel& costs) {
  using Ask = std::tuple<std::uint32_t, CollectiveKind, Bytes>;
  std::vector<std::set<Ask>> collectives(program_.bodies.size());
  std::vector<std::set<std::pair<std::uint32_t, Bytes>>> sends(program_.bodies.size());
  for (std::size_t body = 0; body < program_.bodies.size(); ++body) {
    for (const Stream& stream : program_.bodies[body].streams) {
      for (const Op& op : stream.ops) {
        if (const auto* collective = std::get_if<Collective>(&op.action)) {
          collectives[body].insert(
              {collective->communicator, collective->kind, collective->payload});
        } else if (const auto* send = std::get_if<Send>(&op.action)) {
          sends[body].insert({send->peer, send->payload});
        }
      }
    }
  }
  for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
    const RankBinding& binding = program_.ranks[rank];
    for (const auto& [slot, kind, payload] : collectives[binding.body.index()]) {
      const GroupId group = binding.communicators[slot];
      if (!collectives_.try_emplace({group.index(), kind, payload}, instances_.size()).second) {
        continue;
      }
      std::vector<DeviceId> devices;
      for (const Rank member : program_.groups[group.index()].members) {
        devices.push_back(program_.ranks[member.index()].device);
      }
      Instance instance;
      instance.schedule = costs.collective_of(group, kind, payload, devices);
      instance.kind = mix(mix(4, static_cast<std::uint64_t>(kind)), bits(payload.value));
      instance.group = group.index();
      add(std::move(instance));
    }
    for (const auto& [slot, payload] : sends[binding.body.index()]) {
      add_message(costs, Rank(rank), binding.peers[slot], payload);
    }
  }
}

void ColouredGraph::add_message(const CostModel& costs, Rank from, Rank to, Bytes payload) {
  if (!messages_.try_emplace({from, to, payload}, instances_.size()).second) {
    return;
  }
  Instance instance;
  instance.schedule = costs.point_to_point(payload, program_.ranks[from.index()].device,
                                           program_.ranks[to.index()].device);
  instance.kind = mix(5, bits(payload.value));
  instance.is_message = true;
  instance.sender = from;
  instance.receiver = to;
  add(std::move(instance));
}

void ColouredGraph::add(Instance instance) {
  instance.first_flow = flows_.size();
  for (std::size_t phase = 0; phase < instance.schedule.phases.size(); ++phase) {
    const FlowPhase& flows = instance.schedule.phases[phase];
    instance.kind = mix(instance.kind, bits(flows.latency.value));
    for (const Flow& flow : flows.flows) {
      Colour colour = mix(mix(6, phase), bits(flow.bytes.value));
      flows_.push_back(mix(colour, bits(flow.rate_limit.value)));
    }
  }
  instances_.push_back(std::move(instance));
}

std::size_t ColouredGraph::num_classes() const {
  return count_distinct(ranks_) + count_distinct(groups_) + count_distinct(links_) +
         count_distinct(flows_);
}

// A colour takes in its own past, so classes only ever split; when none does, all is said.
void ColouredGraph::refine() {
  std::size_t classes = 0;
  for (std::size_t before = 1; classes != before;) {
    before = num_classes();
    refine_flows();
    refine_links();
    refine_owners();
    classes = num_classes();
  }
}

// Sums of scrambled colours stand for multisets.
void ColouredGraph::refine_flows() {
  for (const Instance& instance : instances_) {
    Colour owner = instance.kind;
    if (instance.is_message) {
      owner = mix(mix(owner, rank(instance.sender)), rank(instance.receiver));
    } else {
      owner = mix(owner, groups_[instance.group]);
    }
    std::size_t index = instance.first_flow;
    for (const FlowPhase& phase : instance.schedule.phases) {
      for (const Flow& flow : phase.flows) {
        Colour crossed = 0;
        for (const LinkId link : flow.links) {
          crossed += scramble(links_[link.index()]);
        }
        flows_[index] = mix(mix(flows_[index], owner), crossed);
        ++index;
      }
    }
  }
}

void ColouredGraph::refine_links() {
  std::vector<Colour> crossing(links_.size(), 0);
  for (const Instance& instance : instances_) {
    std::size_t index = instance.first_flow;
    for (const FlowPhase& phase : instance.schedule.phases) {
      for (const Flow& flow : phase.flows) {
        const Colour colour = scramble(flows_[index]);
        for (const LinkId link : flow.links) {
          crossing[link.index()] += colour;
        }
        ++index;
      }
    }
  }
  for (std::size_t link = 0; link < links_.size(); ++link) {
    links_[link] = mix(links_[link], crossing[link]);
  }
}

// Groups see their members and flows; ranks see their groups, peers and messages.
void ColouredGraph::refine_owners() {
  std::vector<Colour> group_flows(groups_.size(), 0);
  std::vector<Colour> sent(ranks_.size(), 0);
  std::vector<Colour> received(ranks_.size(), 0);
  for (const Instance& instance : instances_) {
    Colour flows = 0;
    std::size_t index = instance.first_flow;
    for (const FlowPhase& phase : instance.schedule.phases) {
      for (std::size_t i = 0; i < phase.flows.size(); ++i) {
        flows += scramble(flows_[index]);
        ++index;
      }
    }
    flows = scramble(mix(flows, instance.kind));
    if (instance.is_message) {
      sent[instance.sender.index()] += flows;
      received[instance.receiver.index()] += flows;
    } else {
      group_flows[instance.group] += flows;
    }
  }
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    Colour members = 0;
    for (const Rank member : program_.groups[group].members) {
      members += scramble(ranks_[member.index()]);
    }
    groups_[group] = mix(mix(groups_[group], members), group_flows[group]);
  }
  std::vector<Colour> next = ranks_;
  for (std::size_t rank = 0; rank < ranks_.size(); ++rank) {
    Colour colour = mix(mix(ranks_[rank], sent[rank]), received[rank]);
    for (const GroupId group : program_.ranks[rank].communicators) {
      colour = mix(colour, groups_[group.index()]);
    }
    for (const Rank peer : program_.ranks[rank].peers) {
      colour = mix(colour, ranks_[peer.index()]);
    }
    next[rank] = colour;
  }
  ranks_ = std::move(next);
}

}  // namespace foretrain
