// The files that describe this machine to the simulator, from what was measured on it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sim/core/units.hpp"
#include "validation/live/benchmarks.hpp"

namespace foretrain::live {

/// What single-rank steps say beyond kernels: a level of all compute rates, and the host's share of
/// a layer.
struct Level {
  double sustained = 1;
  Seconds host_per_layer{0};
};

/// A GPU file for one core, without GEMMs and attention: foretrain calibrate fits them.
[[nodiscard]] std::string gpu_base(const MemoryRates& memory, FlopsPerSecond peak,
                                   const std::string& hardware);
/// A fitted GPU file at this level.
[[nodiscard]] std::string gpu_file(const std::string& fitted, const Level& level);

/// A link between ranks, apart from how collectives fare on it.
struct LinkFacts {
  std::string name;  ///< "links of 400Mbit"
  BytesPerSecond rate;
  Seconds message_latency{0};
  double compute_share = 0;
};
/// Two nodes of one core, joined by such links; how collectives fare on them is fitted.
[[nodiscard]] std::string cluster_base(const LinkFacts& link);
/// A fitted file of such a cluster, as it would be at another rate.
[[nodiscard]] std::string cluster_at(const std::string& fitted, BytesPerSecond rate);

/// The trainer as a stack.
[[nodiscard]] std::string stack_file(const MemoryRates& memory, const Level& level);

}  // namespace foretrain::live
