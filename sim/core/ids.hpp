// Identifiers that cannot be swapped: a Rank is not a DeviceId, though both are small integers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace foretrain {

/// An index into one kind of table. `Kind` only makes the types differ.
template <class Kind>
struct Id {
  std::uint32_t value = 0;

  constexpr Id() = default;
  constexpr explicit Id(std::size_t index) : value(static_cast<std::uint32_t>(index)) {}
  constexpr auto operator<=>(const Id&) const = default;
  /// For use as a subscript of the table that this id indexes.
  [[nodiscard]] constexpr std::size_t index() const { return value; }
};

using Rank = Id<struct RankKind>;        ///< one process of the job
using DeviceId = Id<struct DeviceKind>;  ///< one piece of hardware that runs a rank
using LinkId = Id<struct LinkKind>;      ///< one direction of a wire, switch port or NIC
using GroupId = Id<struct GroupKind>;    ///< the ranks of one communicator
using BodyId = Id<struct BodyKind>;      ///< what a rank does in one step
using KernelListId = Id<struct KernelListKind>;
using EventId = Id<struct EventKind>;  ///< local to a body
using NameId = Id<struct NameKind>;    ///< an interned string of a program

}  // namespace foretrain

template <class Kind>
struct std::hash<foretrain::Id<Kind>> {
  std::size_t operator()(foretrain::Id<Kind> id) const noexcept { return id.value; }
};
