// Refinement split two classes in some round because their members saw unlike neighbours. Those
// were split a round earlier, and so on back to two nodes of unlike colours, or of unlike numbers
// of edges: that is the cause.
// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/differences.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

/// What a node stands for.
struct Subject {
  enum class Kind : std::uint8_t { rank, group, channel, host_copies, link };
  Kind kind = Kind::rank;
  std::size_t index = 0;  ///< of the rank (whose copies they are), group, channel or link
  bool is_route = false;  ///< one of several of the group, channel or copies
};

/// What tells classes apart, and an instance of it; causes with one `what` are one.
struct Cause {
  std::string what;
  std::string instance;
};

struct Pair {
  ClassId one;
  ClassId other;
};

class Explainer {
 public:
  Explainer(const Program& program, const CostModel& costs, const ProgramGraph& graph,
            const Partition& partition, const Views& views)
      : program_(program),
        costs_(costs),
        graph_(graph),
        partition_(partition),
        views_(views),
        subjects_(partition.num_classes()) {
    name_subjects();
  }

  Cause cause(Pair pair) const {
    for (std::size_t round = split_in(pair); round > 0; round = split_in(pair)) {
      const std::optional<Pair> neighbours = unlike_neighbours(pair, round - 1);
      if (!neighbours) {
        return numbers_differ(pair);
      }
      pair = *neighbours;
    }
    return colours_differ(pair);
  }

 private:
  using Kind = Subject::Kind;
  using Word = std::pair<std::uint32_t, ClassId>;  // label, and class of the neighbour in a round

  void name_subjects() {
    const auto name = [this](NodeId node, const Subject& subject) {
      if (partition_.is_first(node)) {
        subjects_[partition_.of(node).index()] = subject;
      }
    };
    const auto name_all = [&](const Communication& communication, const Subject& subject) {
      const std::size_t routes = graph_.shape_of(communication).routes.size();
      for (std::size_t route = 0; route < routes; ++route) {
        name(graph_.route_node(communication, route), {subject.kind, subject.index, true});
      }
      name(communication.node, subject);
    };
    for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
      name(graph_.rank_node(Rank(rank)), {Kind::rank, rank});
    }
    for (std::size_t group = 0; group < graph_.groups().size(); ++group) {
      if (graph_.groups()[group]) {
        name_all(*graph_.groups()[group], {Kind::group, group});
      }
    }
    for (std::size_t channel = 0; channel < graph_.channels().size(); ++channel) {
      name_all(graph_.channels()[channel].communication, {Kind::channel, channel});
    }
    for (std::size_t rank = 0; rank < graph_.host_copies().size(); ++rank) {
      if (graph_.host_copies()[rank]) {
        name_all(*graph_.host_copies()[rank], {Kind::host_copies, rank});
      }
    }
    for (std::size_t link = 0; link < graph_.link_nodes().size(); ++link) {
      if (graph_.link_nodes()[link]) {
        name(*graph_.link_nodes()[link], {Kind::link, link});
      }
    }
  }

  const Subject& subject(ClassId id) const { return subjects_[id.index()]; }
  const std::vector<Neighbour>& view(ClassId id) const { return views_[id.index()]; }
  ClassId in_round(std::size_t round, ClassId id) const {
    return partition_.rounds[round][id.index()];
  }

  /// The first round in which two classes were two.
  std::size_t split_in(Pair pair) const {
    std::size_t round = 0;
    while (in_round(round, pair.one) == in_round(round, pair.other)) {
      ++round;
    }
    return round;
  }

  /// By what a class sees in a round: which neighbours, by their final classes.
  std::map<Word, std::vector<ClassId>> words(ClassId id, std::size_t round) const {
    std::map<Word, std::vector<ClassId>> seen;
    for (const Neighbour& neighbour : view(id)) {
      const ClassId of_neighbour = partition_.of(neighbour.node);
      seen[{neighbour.label, in_round(round, of_neighbour)}].push_back(of_neighbour);
    }
    return seen;
  }

  /// What `from` sees more often than `than`.
  static std::vector<std::pair<std::uint32_t, ClassId>> more(
      const std::map<Word, std::vector<ClassId>>& from,
      const std::map<Word, std::vector<ClassId>>& than) {
    std::vector<std::pair<std::uint32_t, ClassId>> found;
    for (const auto& [word, classes] : from) {
      const auto others = than.find(word);
      if (others == than.end() || others->second.size() < classes.size()) {
        found.emplace_back(word.first, classes.front());
      }
    }
    return found;
  }

  /// Neighbours over edges of one label that were alike until the round in which they were told
  /// apart; nothing when the classes only differ in how many neighbours of a kind they have.
  std::optional<Pair> unlike_neighbours(Pair pair, std::size_t round) const {
    const auto seen_by_one = words(pair.one, round);
    const auto seen_by_other = words(pair.other, round);
    const auto of_other = more(seen_by_other, seen_by_one);
    for (const auto& [label, one] : more(seen_by_one, seen_by_other)) {
      for (const auto& [other_label, other] : of_other) {
        const bool were_alike = round == 0 ? subject(one).kind == subject(other).kind
                                           : in_round(round - 1, one) == in_round(round - 1, other);
        if (label == other_label && were_alike) {
          return Pair{one, other};
        }
      }
    }
    return std::nullopt;
  }

  Cause colours_differ(Pair pair) const {
    switch (subject(pair.one).kind) {
      case Kind::rank:
        return devices_differ(Rank(subject(pair.one).index), Rank(subject(pair.other).index));
      case Kind::link:
        return links_differ(capacity(LinkId(subject(pair.one).index)),
                            capacity(LinkId(subject(pair.other).index)));
      default:
        return communications_differ(pair);
    }
  }

  // Of two kinds of devices, or capacities of links, the rarer one is told.
  Cause devices_differ(Rank one, Rank other) const {
    std::vector<Rank> alike = ranks_on(kind_of(one));
    const std::vector<Rank> others = ranks_on(kind_of(other));
    if (others.size() < alike.size()) {
      alike = others;
    }
    return {alike.size() == 1
                ? fmt::format("rank {} runs on a device of its own kind", alike.front().value)
                : fmt::format("{} ranks, such as {}, run on another kind of device", alike.size(),
                              alike.front().value),
            ""};
  }
  std::size_t kind_of(Rank rank) const {
    return costs_.device_kind(program_.ranks[rank.index()].device);
  }
  std::vector<Rank> ranks_on(std::size_t kind) const {
    std::vector<Rank> ranks;
    for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
      if (kind_of(Rank(rank)) == kind) {
        ranks.emplace_back(rank);
      }
    }
    return ranks;
  }

  Cause links_differ(BytesPerSecond one, BytesPerSecond other) const {
    std::vector<LinkId> alike = links_of(one);
    const std::vector<LinkId> others = links_of(other);
    if (others.size() < alike.size()) {
      alike = others;
      std::swap(one, other);
    }
    const std::string rates =
        fmt::format("{:.4g} GB/s instead of {:.4g}", one.value * 1e-9, other.value * 1e-9);
    const std::string& first = link_name(alike.front());
    return {alike.size() == 1
                ? fmt::format("{} has {}", first, rates)
                : fmt::format("{} links, such as {}, have {}", alike.size(), first, rates),
            ""};
  }
  std::vector<LinkId> links_of(BytesPerSecond rate) const {
    std::vector<LinkId> links;
    for (std::size_t link = 0; link < graph_.link_nodes().size(); ++link) {
      if (graph_.link_nodes()[link] && capacity(LinkId(link)) == rate) {
        links.emplace_back(link);
      }
    }
    return links;
  }

  // Bytes, latencies and rate limits follow from who takes part and from the slowest link.
  Cause communications_differ(Pair pair) const {
    const Subject& one = subject(pair.one);
    const Subject& other = subject(pair.other);
    if (one.kind == Kind::group && size_of(one) != size_of(other)) {
      return sizes_differ(one, other);
    }
    const std::optional<LinkId> slowest = slowest_link(pair.one);
    const std::optional<LinkId> other_slowest = slowest_link(pair.other);
    if (slowest && other_slowest && capacity(*slowest) != capacity(*other_slowest)) {
      return links_differ(capacity(*slowest), capacity(*other_slowest));
    }
    if (one.kind == Kind::host_copies) {
      return {"copies to hosts that are wired in more than one way", ""};
    }
    return {one.kind == Kind::group ? axis(one) + " groups that are placed in more than one way"
                                    : "messages to peers near and far",
            ""};
  }

  Cause sizes_differ(const Subject& one, const Subject& other) const {
    const auto sizes = std::minmax({size_of(one), size_of(other)});
    return {fmt::format("{} groups of {} and of {} ranks", axis(one), sizes.first, sizes.second),
            ""};
  }

  Cause numbers_differ(Pair pair) const {
    const Subject& one = subject(pair.one);
    const Subject& other = subject(pair.other);
    switch (one.kind) {
      case Kind::link:
        return {"links that are shared by other flows",
                fmt::format(", such as {} and {}", link_name(LinkId(one.index)),
                            link_name(LinkId(other.index)))};
      case Kind::rank:
        return {"ranks with other groups or peers",
                fmt::format(", such as {} and {}", one.index, other.index)};
      case Kind::group:
        if (size_of(one) != size_of(other)) {
          return sizes_differ(one, other);
        }
        return {axis(one) + (one.is_route ? " flows over other numbers of links"
                                          : " groups of other mixtures of ranks or flows"),
                ""};
      case Kind::channel:
        return {"messages over other numbers of links", ""};
      case Kind::host_copies:
        return {"copies to hosts over other numbers of links", ""};
    }
    throw InternalError("a node of no kind");
  }

  std::size_t size_of(const Subject& group) const {
    return program_.groups[group.index].members.size();
  }
  const std::string& axis(const Subject& group) const {
    return program_.text(program_.groups[group.index].axis);
  }
  const std::string& link_name(LinkId link) const {
    return costs_.network().links[link.index()].name;
  }
  BytesPerSecond capacity(LinkId link) const {
    return costs_.network().links[link.index()].capacity;
  }

  /// Of a communication or one of its routes.
  std::optional<LinkId> slowest_link(ClassId communication) const {
    std::optional<LinkId> slowest;
    for (const Neighbour& neighbour : view(communication)) {
      const Subject& what = subject(partition_.of(neighbour.node));
      std::optional<LinkId> link;
      if (what.kind == Kind::link) {
        link = LinkId(what.index);
      } else if (what.is_route && !subject(communication).is_route) {
        link = slowest_link(partition_.of(neighbour.node));
      }
      if (link && (!slowest || capacity(*link) < capacity(*slowest))) {
        slowest = link;
      }
    }
    return slowest;
  }

  const Program& program_;
  const CostModel& costs_;
  const ProgramGraph& graph_;
  const Partition& partition_;
  const Views& views_;
  std::vector<Subject> subjects_;  // by class: its first member
};

/// The classes of the ranks of each body, the largest first.
std::map<BodyId, std::vector<ClassId>> classes_by_body(const Program& program,
                                                       const ProgramGraph& graph,
                                                       const Partition& partition) {
  std::map<ClassId, std::size_t> sizes;
  std::map<BodyId, std::vector<ClassId>> classes;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    const ClassId id = partition.of(graph.rank_node(Rank(rank)));
    if (++sizes[id] == 1) {
      classes[program.ranks[rank].body].push_back(id);
    }
  }
  for (auto& [body, list] : classes) {
    std::stable_sort(list.begin(), list.end(),
                     [&](ClassId a, ClassId b) { return sizes[a] > sizes[b]; });
  }
  return classes;
}

}  // namespace

std::vector<Difference> differences(const Program& program, const CostModel& costs,
                                    const ProgramGraph& graph, const Partition& partition,
                                    const Views& views) {
  const auto classes = classes_by_body(program, graph, partition);
  std::vector<Difference> found;
  if (std::all_of(classes.begin(), classes.end(),
                  [](const auto& of_body) { return of_body.second.size() == 1; })) {
    return found;
  }
  const Explainer explainer(program, costs, graph, partition, views);
  std::map<std::string, std::size_t> known;  // by what, into found
  for (const auto& [body, list] : classes) {
    for (std::size_t i = 1; i < list.size(); ++i) {
      const Cause cause = explainer.cause({list[i], list.front()});
      const auto [place, is_new] = known.try_emplace(cause.what, found.size());
      if (is_new) {
        found.push_back({cause.what + cause.instance, 0});
      }
      ++found[place->second].num_classes;
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Difference& a, const Difference& b) {
    return a.num_classes > b.num_classes;
  });
  return found;
}

}  // namespace foretrain
