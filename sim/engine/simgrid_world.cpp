// SimGrid 3.32 (Debian 12). Everything that differs in 4.x is in this file.
// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <utility>

#include <simgrid/kernel/routing/NetPoint.hpp>
#include <simgrid/kernel/routing/NetZoneImpl.hpp>
#include <simgrid/s4u.hpp>
#include <xbt/log.h>

#include "sim/core/error.hpp"
#include "sim/engine/world.hpp"

namespace foretrain {
namespace {

namespace s4u = simgrid::s4u;
namespace routing = simgrid::kernel::routing;
using LinkImpl = simgrid::kernel::resource::StandardLinkImpl;

/// A zone whose routes are given one by one instead of as a table of host pairs: route k leads from
/// the one source host to the k-th target host. No quadratic table, and any multiset of links.
class RouteZone : public routing::NetZoneImpl {
 public:
  explicit RouteZone(const std::string& name) : NetZoneImpl(name) {}

  void set_route(const routing::NetPoint* target, std::vector<LinkImpl*> links) {
    if (routes_.size() <= target->id()) {
      routes_.resize(target->id() + 1);
    }
    routes_[target->id()] = std::move(links);
  }

 private:
  void get_local_route(const routing::NetPoint*, const routing::NetPoint* target,
                       routing::Route* into, double*) override {
    into->link_list_ = routes_[target->id()];
  }
  void get_graph(const s_xbt_graph_t*, std::map<std::string, xbt_node_t, std::less<>>*,
                 std::map<std::string, xbt_edge_t, std::less<>>*) override {}

  std::vector<std::vector<LinkImpl*>> routes_;
};

// The pure fluid model: no TCP window, no traffic on the way back, no latency factors. Latency and
// protocol cost are the platform's business. Precision is far below a kernel launch. SimGrid takes
// its configuration once per process.
void configure_once() {
  static const bool done = [] {
    xbt_log_control_set("root.thres:critical");
    for (const char* setting :
         {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0",
          "surf/precision:1e-12", "contexts/stack-size:256"}) {
      s4u::Engine::set_config(setting);
    }
    return true;
  }();
  (void)done;
}

std::vector<LinkImpl*> create_links(RouteZone& zone, const Network& network) {
  std::vector<LinkImpl*> links;
  links.reserve(network.links.size());
  for (std::size_t i = 0; i < network.links.size(); ++i) {
    // Link names of a platform need not be unique; SimGrid's must be.
    auto* link = zone.create_link(std::to_string(i), {network.links[i].capacity.value});
    links.push_back(link->set_latency(0.0)->get_impl());
  }
  return links;
}

// A link that is not shared but bounds each flow on its own: 3.32 ignores Comm::set_rate() on
// transfers between hosts.
LinkImpl* limiting_link(RouteZone& zone, BytesPerSecond rate,
                        std::map<BytesPerSecond, LinkImpl*>& known) {
  LinkImpl*& link = known[rate];
  if (link == nullptr) {
    auto* made = zone.create_link("limit " + std::to_string(known.size()), {rate.value});
    made->set_latency(0.0)->set_sharing_policy(s4u::Link::SharingPolicy::FATPIPE);
    link = made->get_impl();
  }
  return link;
}

constexpr double kHostSpeed = 1e9;  // FLOP/s; any number would do, and work is measured by it

}  // namespace

struct World::Impl {
  s4u::Engine* engine = nullptr;  // owned; shutdown() deletes what it holds
  s4u::Host* source = nullptr;
  std::vector<s4u::Host*> targets;
  std::vector<s4u::Host*> hosts;  // on which work is executed
  std::vector<s4u::ActorPtr> actors;
  double start = 0;  // SimGrid's clock goes on from one engine to the next
};

World::World(const Network& network, const std::vector<Route>& routes, const Hosts& hosts)
    : impl_(std::make_unique<Impl>()) {
  FORETRAIN_ASSERT(!s4u::Engine::has_instance() || !s4u::Engine::is_initialized(),
                   "two simulated worlds at once in one process");
  impl_->engine = new s4u::Engine("foretrain");
  configure_once();
  auto* zone = new RouteZone("foretrain");  // owned by the engine
  impl_->source = zone->create_host("source", {kHostSpeed});

  const std::vector<LinkImpl*> links = create_links(*zone, network);
  std::map<BytesPerSecond, LinkImpl*> limits;
  for (std::size_t i = 0; i < routes.size(); ++i) {
    auto* host = zone->create_host("target " + std::to_string(i), {kHostSpeed});
    std::vector<LinkImpl*> route;
    route.reserve(routes[i].links.size() + 1);
    for (const LinkId link : routes[i].links) {
      route.push_back(links[link.index()]);
    }
    if (routes[i].rate_limit > BytesPerSecond(0)) {
      route.push_back(limiting_link(*zone, routes[i].rate_limit, limits));
    }
    zone->set_route(host->get_netpoint(), std::move(route));
    impl_->targets.push_back(host);
  }
  std::vector<double> speeds = hosts.speeds;
  for (double& speed : speeds) {
    speed *= kHostSpeed;
  }
  for (std::size_t i = 0; i < hosts.count; ++i) {
    impl_->hosts.push_back(zone->create_host("host " + std::to_string(i), speeds));
  }
  zone->get_iface()->seal();
  impl_->start = s4u::Engine::get_clock();
}

World::~World() {
  impl_->actors.clear();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  impl_->engine->shutdown();  // the only way to have another engine later in the process
#pragma GCC diagnostic pop
}

ActorId World::spawn(const std::string& name, const std::function<void()>& body) {
  impl_->actors.push_back(s4u::Actor::create(name, impl_->source, body));
  return ActorId(impl_->actors.size() - 1);
}

void World::run() { impl_->engine->run(); }

Seconds World::now() const { return Seconds(s4u::Engine::get_clock() - impl_->start); }

void World::sleep(Seconds duration) {
  if (duration > Seconds(0)) {
    ++num_activities_;
    s4u::this_actor::sleep_for(duration.value);
  }
}

void World::execute(std::size_t host, Seconds work, Seconds least) {
  if (work <= Seconds(0)) {
    sleep(least);
    return;
  }
  ++num_activities_;
  const auto execution =
      s4u::this_actor::exec_init(work.value * kHostSpeed)->set_host(impl_->hosts[host]);
  execution->start();
  sleep(least);
  execution->wait();
}

void World::set_speed(std::size_t host, std::size_t level) {
  impl_->hosts[host]->set_pstate(level);
}

void World::transfer(const std::vector<Transfer>& transfers) {
  std::vector<s4u::CommPtr> flying;
  flying.reserve(transfers.size());
  for (const Transfer& transfer : transfers) {
    auto comm = s4u::Comm::sendto_init(impl_->source, impl_->targets[transfer.route.index()]);
    comm->set_payload_size(static_cast<std::uint64_t>(transfer.bytes.value))->start();
    flying.push_back(std::move(comm));
    ++num_activities_;
  }
  for (const auto& comm : flying) {
    comm->wait();
  }
}

void World::suspend() { s4u::this_actor::suspend(); }

void World::resume(ActorId actor) { impl_->actors[actor.index()]->resume(); }

}  // namespace foretrain
