// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bare_simgrid.hpp"

#include <ctime>
#include <map>
#include <string>
#include <utility>

#include <simgrid/s4u.hpp>

namespace foretrain::bench {
namespace {

namespace s4u = simgrid::s4u;

class Collector {
 public:
  Collector(const Program& program, const CostModel& costs) : program_(program), costs_(costs) {
    for (const Link& link : costs.network().links) {
      load_.link_capacities.push_back(link.capacity.value);
    }
  }

  BareLoad collect() {
    for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
      for (const Stream& stream : program_.body_of(Rank(rank)).streams) {
        load_.actors.emplace_back();
        for (const Op& op : stream.ops) {
          add(Rank(rank), op);
        }
        sleep();
      }
    }
    return std::move(load_);
  }

 private:
  void add(Rank rank, const Op& op) {
    const RankBinding& binding = program_.ranks[rank.index()];
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      pending_ += time_of(kernels->list, binding.device);
    } else if (const auto* delay = std::get_if<Delay>(&op.action)) {
      pending_ += delay->duration.value;
    } else if (const auto* collective = std::get_if<Collective>(&op.action)) {
      sleep();
      const Group& group = program_.groups[binding.communicators[collective->communicator].index()];
      if (group.members.front() == rank) {
        std::vector<DeviceId> devices;
        for (const Rank member : group.members) {
          devices.push_back(program_.ranks[member.index()].device);
        }
        add(costs_.collective(collective->kind, collective->payload, devices));
      }
    } else if (const auto* send = std::get_if<Send>(&op.action)) {
      sleep();
      const Rank peer = binding.peers[send->peer];
      add(costs_.point_to_point(send->payload, binding.device,
                                program_.ranks[peer.index()].device));
    }
  }

  void add(const FlowSchedule& schedule) {
    for (const FlowPhase& phase : schedule.phases) {
      pending_ += phase.latency.value;
      sleep();
      for (const Flow& flow : phase.flows) {
        load_.actors.back().push_back({true, {}, {route(flow.links), flow.bytes.value}});
        ++load_.num_activities;
      }
    }
  }

  void sleep() {
    if (pending_ > 0) {
      load_.actors.back().push_back({false, {std::exchange(pending_, 0)}, {}});
      ++load_.num_activities;
    }
  }

  double time_of(KernelListId list, DeviceId device) {
    const auto [place, is_new] = kernel_lists_.try_emplace({list, device});
    if (is_new) {
      for (const Kernel& kernel : program_.kernel_lists[list.index()]) {
        place->second += costs_.kernel_time(kernel, device).value;
      }
    }
    return place->second;
  }

  std::size_t route(const std::vector<LinkId>& links) {
    const auto [place, is_new] = route_ids_.try_emplace(links, load_.routes.size());
    if (is_new) {
      auto& out = load_.routes.emplace_back();
      for (const LinkId link : links) {
        out.push_back(link.index());
      }
    }
    return place->second;
  }

  const Program& program_;
  const CostModel& costs_;
  BareLoad load_;
  double pending_ = 0;
  std::map<std::pair<KernelListId, DeviceId>, double> kernel_lists_;
  std::map<std::vector<LinkId>, std::size_t> route_ids_;
};

}  // namespace

BareLoad bare_load(const Program& program, const CostModel& costs) {
  return Collector(program, costs).collect();
}

double cpu_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

double run_bare(const BareLoad& load) {
  auto* engine = new s4u::Engine("bare");
  auto* zone = s4u::create_full_zone("bare");
  auto* source = zone->create_host("source", 1e9);
  std::vector<s4u::Link*> links;
  for (std::size_t i = 0; i < load.link_capacities.size(); ++i) {
    links.push_back(
        zone->create_link(std::to_string(i), load.link_capacities[i])->set_latency(0.0));
  }
  std::vector<s4u::Host*> targets;
  for (const auto& route : load.routes) {
    targets.push_back(zone->create_host("target " + std::to_string(targets.size()), 1e9));
    std::vector<s4u::LinkInRoute> on_the_way;
    for (const std::size_t link : route) {
      on_the_way.emplace_back(links[link]);
    }
    zone->add_route(source->get_netpoint(), targets.back()->get_netpoint(), nullptr, nullptr,
                    on_the_way, false);
  }
  zone->seal();
  for (const auto& steps : load.actors) {
    s4u::Actor::create("actor", source, [&steps, source, &targets] {
      for (const BareStep& step : steps) {
        if (step.is_transfer) {
          s4u::Comm::sendto(source, targets[step.transfer.route],
                            static_cast<std::uint64_t>(step.transfer.bytes));
        } else {
          s4u::this_actor::sleep_for(step.sleep.seconds);
        }
      }
    });
  }
  const double start = cpu_seconds();
  engine->run();
  const double seconds = cpu_seconds() - start;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  engine->shutdown();
#pragma GCC diagnostic pop
  return seconds;
}

}  // namespace foretrain::bench
