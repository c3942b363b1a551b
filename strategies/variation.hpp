// [variation] of a run file: what makes GPUs, links and kernels of a run differ from the platform's
// description. Nothing varies unless a run says so.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

/// One entry of [[variation.gpus]]: GPUs that compute slower or faster than their file says.
struct GpuSpeed {
  std::int64_t node = 0;
  std::optional<std::int64_t> gpu;  ///< within the node; all of it by default
  double speed = 1;                 ///< share of the normal compute rate

  [[nodiscard]] std::string name() const;  ///< "node 3 gpu 5"
};

/// One entry of [[variation.links]]: a link, or both directions of a NIC, below its capacity.
struct LinkCapacity {
  std::string name;     ///< of the link, or "node 3 nic 1"
  double capacity = 1;  ///< share of the normal capacity
  bool is_nic = false;
  std::int64_t node = 0;  ///< of the NIC
  std::int64_t nic = 0;   ///< within the node
};

/// [variation] as it is written, with what it comes to on the machine of a run.
struct Variation {
  double kernel_jitter = 0;     ///< standard deviation of the logarithm of a run of kernels' factor
  double expert_imbalance = 0;  ///< standard deviation of the logarithm of an expert's popularity
  std::uint64_t seed = 0;
  std::vector<GpuSpeed> gpus;
  std::vector<LinkCapacity> links;

  // Filled in by resolve_variation().
  std::map<DeviceId, double> device_speeds;  ///< of devices that `gpus` names
  std::map<LinkId, double> link_capacities;  ///< of links that `links` names

  [[nodiscard]] bool is_none() const {
    return kernel_jitter == 0 && expert_imbalance == 0 && gpus.empty() && links.empty();
  }
};

/// Where the entries of a Variation stand in the run file.
struct VariationPlaces {
  struct Place {
    std::string key;  ///< "variation.gpus[0]"
    config::Position position;
  };
  config::Position expert_imbalance;
  std::vector<Place> gpus;
  std::vector<Place> links;
};

[[nodiscard]] Variation read_variation(config::Reader reader, VariationPlaces& places);

/// Finds the devices and links that the entries name. Those that do not exist, take no part in a
/// run of `num_gpus` GPUs or are named twice go to `diagnostics`.
void resolve_variation(const VariationPlaces& places, const Machine& machine, std::size_t num_gpus,
                       Variation& variation, config::Diagnostics& diagnostics);

/// For people, one line for each thing that varies: "node 3 gpu 5 at 0.8 of its speed".
[[nodiscard]] std::vector<std::string> describe(const Variation& variation);

}  // namespace foretrain
