// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/quotient.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

/// What one communication of the quotient does, by question.
struct Schedules {
  std::vector<Instance> instances;
  std::vector<FlowSchedule> schedules;

  [[nodiscard]] const FlowSchedule& of(CollectiveKind kind, Bytes payload) const {
    for (std::size_t i = 0; i < instances.size(); ++i) {
      if (instances[i].kind == kind && instances[i].payload == payload) {
        return schedules[i];
      }
    }
    throw InternalError("a communication that the lumped program did not have");
  }
  [[nodiscard]] const FlowSchedule& of(CopyDirection direction, Bytes bytes) const {
    for (std::size_t i = 0; i < instances.size(); ++i) {
      if (instances[i].direction == direction && instances[i].payload == bytes) {
        return schedules[i];
      }
    }
    throw InternalError("a copy that the lumped program did not have");
  }
};

/// Answers for the groups, channels and ranks of a quotient, which its devices alone do not
/// determine.
class QuotientCosts : public CostModel {
 public:
  using ChannelKey = std::tuple<Rank, Rank, std::uint32_t>;

  explicit QuotientCosts(const CostModel& original) : original_(original) {}

  Network links;
  std::vector<DeviceId> devices;             // by device of the quotient
  std::vector<Schedules> groups;             // by GroupId
  std::map<ChannelKey, Schedules> channels;  // by sender, receiver and number of their relation
  std::uint32_t channels_per_relation = 1;
  std::vector<Schedules> host_copies;  // by simulated rank

  [[nodiscard]] const Network& network() const override { return links; }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override {
    return original_.kernel_time(kernel, devices[device.index()]);
  }
  [[nodiscard]] std::size_t device_kind(DeviceId device) const override {
    return original_.device_kind(devices[device.index()]);
  }
  [[nodiscard]] FlowSchedule collective(CollectiveKind, Bytes,
                                        const std::vector<DeviceId>&) const override {
    throw InternalError("a lumped collective is known by its group, not by its devices");
  }
  [[nodiscard]] FlowSchedule point_to_point(Bytes, DeviceId, DeviceId) const override {
    throw InternalError("a lumped message is known by its channel, not by its devices");
  }
  [[nodiscard]] FlowSchedule collective_of(const Program&, GroupId group, CollectiveKind kind,
                                           Bytes payload) const override {
    return groups[group.index()].of(kind, payload);
  }
  [[nodiscard]] FlowSchedule message_of(const Program&, Rank from, Rank to, std::uint32_t channel,
                                        Bytes payload) const override {
    return channels.at({from, to, channel / channels_per_relation})
        .of(CollectiveKind::all_reduce, payload);
  }
  [[nodiscard]] FlowSchedule host_copy_of(const Program&, Rank rank, CopyDirection direction,
                                          Bytes bytes) const override {
    return host_copies[rank.index()].of(direction, bytes);
  }

 private:
  const CostModel& original_;
};

std::uint32_t num_channels(const Program& program) {
  std::uint32_t most = 0;
  for (const Body& body : program.bodies) {
    for (const Stream& stream : body.streams) {
      for (const Op& op : stream.ops) {
        if (const auto* send = std::get_if<Send>(&op.action)) {
          most = std::max(most, send->channel);
        }
      }
    }
  }
  return most + 1;
}

/// What is added to the channel of sends and receives, by peer slot.
struct ChannelShift {
  std::vector<std::uint32_t> send;
  std::vector<std::uint32_t> receive;
  auto operator<=>(const ChannelShift&) const = default;

  [[nodiscard]] bool is_none() const {
    const auto is_zero = [](std::uint32_t shift) { return shift == 0; };
    return std::all_of(send.begin(), send.end(), is_zero) &&
           std::all_of(receive.begin(), receive.end(), is_zero);
  }
};

Body shifted(Body body, const ChannelShift& shift) {
  for (Stream& stream : body.streams) {
    for (Op& op : stream.ops) {
      if (auto* send = std::get_if<Send>(&op.action)) {
        send->channel += shift.send[send->peer];
      } else if (auto* recv = std::get_if<Recv>(&op.action)) {
        recv->channel += shift.receive[recv->peer];
      }
    }
  }
  return body;
}

class QuotientMaker {
 public:
  QuotientMaker(const Program& program, const CostModel& costs, const ProgramGraph& graph,
                const Partition& partition, const Views& views)
      : program_(program),
        network_(costs.network()),
        graph_(graph),
        partition_(partition),
        views_(views),
        costs_(std::make_unique<QuotientCosts>(costs)) {}

  Lumped make() {
    Program& out = lumped_.program;
    out.names = program_.names;
    out.kernel_lists = program_.kernel_lists;
    out.bodies = program_.bodies;
    add_links();
    add_ranks();
    add_groups();
    add_channels();
    add_host_copies();
    for (std::size_t rank = 0; rank < out.ranks.size(); ++rank) {
      bind(Rank(rank));
    }
    lumped_.costs = std::move(costs_);
    return std::move(lumped_);
  }

 private:
  /// A link of the quotient, and how often a route names it.
  struct Weight {
    LinkId link;
    std::uint32_t times = 0;
  };

  ClassId class_of(NodeId node) const { return partition_.of(node); }
  Rank simulated(Rank original) const { return lumped_.simulated[original.index()]; }
  Rank original(Rank simulated) const { return lumped_.originals[simulated.index()]; }

  void add_links() {
    for (std::size_t i = 0; i < graph_.link_nodes().size(); ++i) {
      const std::optional<NodeId> node = graph_.link_nodes()[i];
      if (node && partition_.is_first(*node)) {
        add_link(network_.links[i], views_[class_of(*node).index()]);
      }
    }
  }

  // What a link sees are routes, each labelled with how often it names the link.
  void add_link(const Link& link, const std::vector<Neighbour>& routes) {
    std::map<ClassId, std::uint32_t> times;
    for (const Neighbour& route : routes) {
      times[class_of(route.node)] += route.label;
    }
    std::uint32_t factor = 0;
    for (const auto& [route, count] : times) {
      factor = std::gcd(factor, count);
    }
    FORETRAIN_ASSERT(factor > 0, "a link that no route crosses");
    const LinkId id(costs_->links.links.size());
    costs_->links.links.push_back({link.name, link.capacity / factor});
    for (const auto& [route, count] : times) {
      weights_[route].push_back({id, count / factor});
    }
  }

  void add_ranks() {
    std::unordered_map<std::uint32_t, Rank> known;  // by class; never iterated
    for (std::size_t i = 0; i < program_.ranks.size(); ++i) {
      const Rank next(lumped_.originals.size());
      const auto [place, is_new] =
          known.try_emplace(class_of(graph_.rank_node(Rank(i))).value, next);
      if (is_new) {
        const RankBinding& binding = program_.ranks[i];
        lumped_.originals.push_back(Rank(i));
        lumped_.num_ranks.push_back(0);
        lumped_.program.ranks.push_back({binding.body, DeviceId(next.index()), {}, {}});
        costs_->devices.push_back(binding.device);
      }
      lumped_.simulated.push_back(place->second);
      ++lumped_.num_ranks[place->second.index()];
    }
  }

  void add_groups() {
    for (std::size_t i = 0; i < graph_.groups().size(); ++i) {
      const auto& communication = graph_.groups()[i];
      if (communication && partition_.is_first(communication->node)) {
        group_ids_[class_of(communication->node)] = GroupId(lumped_.program.groups.size());
        lumped_.program.groups.push_back(members_of(GroupId(i)));
        costs_->groups.push_back(schedules_of(*communication));
      }
    }
  }

  // One member for each class and slot.
  Group members_of(GroupId id) const {
    const Group& group = program_.groups[id.index()];
    Group out{group.axis, {}};
    std::set<std::pair<Rank, std::size_t>> known;
    for (const Rank member : group.members) {
      if (known.emplace(simulated(member), slot_of(member, id)).second) {
        out.members.push_back(simulated(member));
      }
    }
    return out;
  }

  std::size_t slot_of(Rank member, GroupId group) const {
    const std::vector<GroupId>& groups = program_.ranks[member.index()].communicators;
    const SlotUse& use = graph_.use_of(member);
    std::size_t slot = 0;
    while (use.collectives.at(slot).empty() || groups[slot] != group) {
      ++slot;
    }
    return slot;
  }

  Schedules schedules_of(const Communication& communication) const {
    const Shape& shape = graph_.shape_of(communication);
    Schedules out;
    out.instances = shape.instances;
    for (const Instance& instance : shape.instances) {
      FlowSchedule& schedule = out.schedules.emplace_back();
      schedule.compute_share = instance.compute_share;
      for (const Seconds latency : instance.latencies) {
        schedule.phases.push_back({latency, {}});
      }
    }
    std::vector<ClassId> done;
    for (std::size_t route = 0; route < shape.routes.size(); ++route) {
      const ClassId kind = class_of(graph_.route_node(communication, route));
      if (std::find(done.begin(), done.end(), kind) == done.end()) {
        done.push_back(kind);
        for (const RouteUse& use : shape.routes[route]) {
          out.schedules[use.instance].phases[use.phase].flows.push_back(
              {use.bytes, links_of(kind), use.rate_limit});
        }
      }
    }
    return out;
  }

  std::vector<LinkId> links_of(ClassId route) const {
    std::vector<LinkId> links;
    if (const auto weights = weights_.find(route); weights != weights_.end()) {
      for (const Weight& weight : weights->second) {
        links.insert(links.end(), weight.times, weight.link);
      }
    }
    return links;
  }

  // The classes of channels from one simulated rank to another are numbered.
  void add_channels() {
    costs_->channels_per_relation = num_channels(program_);
    std::map<std::pair<Rank, Rank>, std::uint32_t> num_relations;
    for (const Channel& channel : graph_.channels()) {
      const NodeId node = channel.communication.node;
      if (partition_.is_first(node)) {
        const Rank from = simulated(channel.from);
        const Rank to = simulated(channel.to);
        const std::uint32_t relation = num_relations[{from, to}]++;
        relations_[class_of(node)] = relation;
        costs_->channels[{from, to, relation}] = schedules_of(channel.communication);
      }
      note_ends(channel);
    }
  }

  void add_host_copies() {
    costs_->host_copies.reserve(lumped_.originals.size());
    for (const Rank rank : lumped_.originals) {
      const auto& copies = graph_.host_copies()[rank.index()];
      costs_->host_copies.push_back(copies ? schedules_of(*copies) : Schedules{});
    }
  }

  // Slots of representatives by the channel that they hold.
  void note_ends(const Channel& channel) {
    const std::uint32_t shift =
        relations_.at(class_of(channel.communication.node)) * costs_->channels_per_relation;
    if (is_representative(channel.from)) {
      shifts_[{simulated(channel.from), channel.send_slot}].first = shift;
    }
    if (is_representative(channel.to)) {
      shifts_[{simulated(channel.to), channel.receive_slot}].second = shift;
    }
  }
  bool is_representative(Rank rank) const { return original(simulated(rank)) == rank; }

  void bind(Rank rank) {
    const RankBinding& from = program_.ranks[original(rank).index()];
    const SlotUse& use = graph_.use_of(original(rank));
    RankBinding& binding = lumped_.program.ranks[rank.index()];
    for (std::size_t slot = 0; slot < use.collectives.size(); ++slot) {
      binding.communicators.push_back(
          use.collectives[slot].empty() ? GroupId(0) : group_in(from.communicators[slot]));
    }
    ChannelShift shift;
    for (std::size_t slot = 0; slot < use.is_peer_used.size(); ++slot) {
      if (!use.is_peer_used[slot]) {
        binding.peers.push_back(rank);
        shift.send.push_back(0);
        shift.receive.push_back(0);
        continue;
      }
      binding.peers.push_back(simulated(from.peers[slot]));
      const auto first = graph_.first_slot_of_peer(original(rank), from.peers[slot]);
      const auto found = shifts_.find({rank, static_cast<std::uint32_t>(*first)});
      const auto both = found == shifts_.end() ? ShiftPair{} : found->second;
      shift.send.push_back(both.first);
      shift.receive.push_back(both.second);
    }
    if (!shift.is_none()) {
      binding.body = body_with(from.body, shift);
    }
  }
  GroupId group_in(GroupId original) const {
    return group_ids_.at(class_of(graph_.groups()[original.index()]->node));
  }

  BodyId body_with(BodyId original, const ChannelShift& shift) {
    std::vector<Body>& bodies = lumped_.program.bodies;
    const auto [place, is_new] = shifted_.try_emplace({original, shift}, BodyId(bodies.size()));
    if (is_new) {
      bodies.push_back(shifted(program_.bodies[original.index()], shift));
    }
    return place->second;
  }

  using ShiftPair = std::pair<std::uint32_t, std::uint32_t>;  // of sends, of receives

  const Program& program_;
  const Network& network_;
  const ProgramGraph& graph_;
  const Partition& partition_;
  const Views& views_;
  std::unique_ptr<QuotientCosts> costs_;
  Lumped lumped_;
  std::map<ClassId, std::vector<Weight>> weights_;  // by class of routes
  std::map<ClassId, GroupId> group_ids_;
  std::map<ClassId, std::uint32_t> relations_;                  // by class of channels
  std::map<std::pair<Rank, std::uint32_t>, ShiftPair> shifts_;  // by simulated rank and first slot
  std::map<std::pair<BodyId, ChannelShift>, BodyId> shifted_;
};

}  // namespace

Lumped quotient(const Program& program, const CostModel& costs, const ProgramGraph& graph,
                const Partition& partition, const Views& views) {
  return QuotientMaker(program, costs, graph, partition, views).make();
}

}  // namespace foretrain
