// SPDX-License-Identifier: Apache-2.0
#include "tests/support/two_jobs.hpp"

#include <algorithm>
#include <utility>

namespace foretrain::testing {
namespace {

/// Adds the tables of one program to those of another; ids shift by what is there already.
class Appender {
 public:
  explicit Appender(Program& into)
      : into_(into),
        names_(into.names.size()),
        lists_(into.kernel_lists.size()),
        bodies_(into.bodies.size()),
        groups_(into.groups.size()),
        ranks_(into.ranks.size()) {}

  void append(Program other) {
    into_.names.insert(into_.names.end(), other.names.begin(), other.names.end());
    for (std::vector<Kernel>& list : other.kernel_lists) {
      for (Kernel& kernel : list) {
        shift(kernel.name, names_);
      }
      into_.kernel_lists.push_back(std::move(list));
    }
    for (Body& body : other.bodies) {
      append(std::move(body));
    }
    for (Group& group : other.groups) {
      shift(group.axis, names_);
      shift_all(group.members, ranks_);
      into_.groups.push_back(std::move(group));
    }
    for (RankBinding& rank : other.ranks) {
      shift(rank.body, bodies_);
      shift_all(rank.communicators, groups_);
      shift_all(rank.peers, ranks_);
      into_.ranks.push_back(std::move(rank));
    }
  }

 private:
  void append(Body body) {
    for (Stream& stream : body.streams) {
      for (Op& op : stream.ops) {
        shift(op.name, names_);
        if (auto* kernels = std::get_if<Kernels>(&op.action)) {
          shift(kernels->list, lists_);
        }
      }
    }
    into_.bodies.push_back(std::move(body));
  }
  template <class Id>
  static void shift(Id& id, std::size_t by) {
    id = Id(id.index() + by);
  }
  template <class Id>
  static void shift_all(std::vector<Id>& ids, std::size_t by) {
    for (Id& id : ids) {
      shift(id, by);
    }
  }

  Program& into_;
  std::size_t names_;
  std::size_t lists_;
  std::size_t bodies_;
  std::size_t groups_;
  std::size_t ranks_;
};

}  // namespace

Program two_jobs(Program one, Program other) {
  const std::size_t first = one.ranks.size();
  const std::size_t turns = std::min(first, other.ranks.size());
  Appender(one).append(std::move(other));
  for (std::size_t rank = 0; rank < one.ranks.size(); ++rank) {
    const std::size_t number = rank < first ? rank : rank - first;
    const std::size_t place = number < turns ? 2 * number + (rank < first ? 0 : 1) : turns + number;
    one.ranks[rank].device = DeviceId(place);
  }
  return one;
}

}  // namespace foretrain::testing
