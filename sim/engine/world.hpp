// The one door to SimGrid: actors, time, and flows that share links max-min fairly.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/program/network.hpp"

namespace foretrain {

/// An index into the routes that a World was built with.
using RouteId = Id<struct RouteKind>;
using ActorId = Id<struct ActorKind>;

/// Where a flow goes: links (one named k times is used k-fold), and what it reaches at most.
struct Route {
  std::vector<LinkId> links;
  BytesPerSecond rate_limit{0};  ///< 0: none
  auto operator<=>(const Route&) const = default;
};

/// Bytes on their way along a route.
struct Transfer {
  RouteId route;
  Bytes bytes;
};

/// Hosts that all have the same choice of speeds and start at the first. Actors that execute on one
/// at once share its speed evenly.
struct Hosts {
  std::size_t count = 0;
  std::vector<double> speeds;
};

/// A simulated world. At most one exists at a time in a process, because SimGrid has one engine;
/// worlds may follow one another. Time starts at zero in each.
class World {
 public:
  /// REQUIRES: no other World.
  World(const Network& network, const std::vector<Route>& routes, const Hosts& hosts = {});
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// Adds an actor that runs `body` from time zero. REQUIRES: before run(); body does not throw.
  ActorId spawn(const std::string& name, const std::function<void()>& body);
  /// Runs until no actor can go on. Actors that are still blocked then are ended.
  void run();
  [[nodiscard]] Seconds now() const;
  /// Sleeps, executions and transfers so far: what a bare SimGrid loop would have to do as well.
  [[nodiscard]] std::size_t num_activities() const { return num_activities_; }

  // For use inside an actor.
  void sleep(Seconds duration);
  /// Does work that takes this long at speed 1, and returns when it is done but not before `least`
  /// has passed. Follows what becomes of the speed meanwhile.
  void execute(std::size_t host, Seconds work, Seconds least = Seconds(0));
  /// Changes a host's speed to Hosts::speeds[level], for what runs on it as well.
  void set_speed(std::size_t host, std::size_t level);
  /// Starts all transfers at once and returns when the last has ended.
  void transfer(const std::vector<Transfer>& transfers);
  /// Blocks the calling actor until another calls resume() on it.
  void suspend();
  void resume(ActorId actor);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::size_t num_activities_ = 0;
};

}  // namespace foretrain
