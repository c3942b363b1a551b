// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/gloo_world.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/config.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/file_store.h>
#include <gloo/rendezvous/prefix_store.h>
#include <gloo/transport/tcp/device.h>

#include "validation/trainer/cpu/cpu_device.hpp"
#include "validation/trainer/cpu/gloo_group.hpp"
#include "validation/trainer/cpu/urgent.hpp"

namespace foretrain::trainer {
namespace {

constexpr std::chrono::milliseconds kTimeout = std::chrono::minutes(2);

std::shared_ptr<gloo::transport::Device> network(const std::string& interface) {
  gloo::transport::tcp::attr attributes;
  attributes.ai_family = AF_INET;
  if (interface.empty()) {
    attributes.hostname = "127.0.0.1";
  } else {
    attributes.iface = interface;
  }
  const Urgent urgent;  // as what it starts will be: the thread of events
  return gloo::transport::tcp::CreateDevice(attributes);
}

void larger_doubles(void* out, const void* a, const void* b, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    static_cast<double*>(out)[i] =
        std::max(static_cast<const double*>(a)[i], static_cast<const double*>(b)[i]);
  }
}

class GlooWorld final : public World {
 public:
  GlooWorld(const Rendezvous& where, CpuDevice& device, std::chrono::milliseconds timeout)
      : World(where.rank, where.size), where_(where), device_(device), timeout_(timeout) {
    if (size() > 1) {
      network_ = network(where.interface);
    }
    std::vector<int> all(static_cast<std::size_t>(size()));
    std::iota(all.begin(), all.end(), 0);
    context_ = connect(all, rank(), "world");
  }

  [[nodiscard]] std::unique_ptr<Communicator> group(const std::vector<int>& ranks,
                                                    const std::string& name) override {
    const auto own = std::find(ranks.begin(), ranks.end(), rank());
    if (own == ranks.end()) {
      throw std::logic_error("rank " + std::to_string(rank()) + " is not of group '" + name + "'");
    }
    const auto index = static_cast<int>(own - ranks.begin());
    return std::make_unique<GlooGroup>(
        GlooGroup::Members{index, static_cast<int>(ranks.size()), name},
        connect(ranks, index, "group " + name), timeout_, device_.streams());
  }

  void barrier() override {
    if (context_ == nullptr) {
      return;
    }
    named("barrier", [this] {
      gloo::BarrierOptions options(context_);
      options.setTag(num_calls_++);
      options.setTimeout(timeout_);
      gloo::barrier(options);
    });
  }

  [[nodiscard]] double maximum(double value) override {
    if (context_ == nullptr) {
      return value;
    }
    named("maximum", [this, &value] {
      gloo::AllreduceOptions options(context_);
      options.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
      options.setOutput(&value, 1);
      options.setReduceFunction(larger_doubles);
      options.setTag(num_calls_++);
      options.setTimeout(timeout_);
      gloo::allreduce(options);
    });
    return value;
  }

  [[nodiscard]] std::string description() const override {
    return "Gloo " + std::to_string(GLOO_VERSION_MAJOR) + "." + std::to_string(GLOO_VERSION_MINOR) +
           "." + std::to_string(GLOO_VERSION_PATCH) + " over TCP";
  }

 private:
  // Sockets between all pairs of these ranks; null for a rank by itself. Groups of one name but
  // other ranks are other groups.
  [[nodiscard]] std::shared_ptr<gloo::Context> connect(const std::vector<int>& ranks, int index,
                                                       const std::string& name) {
    if (ranks.size() == 1) {
      return nullptr;
    }
    std::string key = name + ":";
    for (const int each : ranks) {
      key += " " + std::to_string(each);
    }
    const auto context =
        std::make_shared<gloo::rendezvous::Context>(index, static_cast<int>(ranks.size()));
    context->setTimeout(timeout_);
    named(name, [&] {
      gloo::rendezvous::FileStore files(where_.directory);
      gloo::rendezvous::PrefixStore store(key, files);
      context->connectFullMesh(store, network_);
    });
    return context;
  }

  template <class Call>
  void named(const std::string& what, Call call) const {
    const Urgent urgent;  // every thread that Gloo's event thread may meet is
    try {
      call();
    } catch (const std::exception& error) {
      throw std::runtime_error(what + " on rank " + std::to_string(rank()) + " of " +
                               std::to_string(size()) + ": " + error.what());
    }
  }

  Rendezvous where_;
  CpuDevice& device_;
  std::chrono::milliseconds timeout_;
  std::shared_ptr<gloo::transport::Device> network_;
  std::shared_ptr<gloo::Context> context_;
  std::uint32_t num_calls_ = 0;
};

}  // namespace

std::unique_ptr<World> gloo_world(const Rendezvous& where, Device& device,
                                  std::chrono::milliseconds timeout) {
  auto* const processor = dynamic_cast<CpuDevice*>(&device);
  if (processor == nullptr) {
    throw std::logic_error("Gloo runs on the streams of a processor");
  }
  return std::make_unique<GlooWorld>(where, *processor, timeout);
}

std::unique_ptr<World> gloo_world(const Rendezvous& where, Device& device) {
  return gloo_world(where, device, kTimeout);
}

}  // namespace foretrain::trainer
