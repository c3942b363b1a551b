// A GPU as data, and how long a kernel takes on it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "platforms/fact.hpp"
#include "sim/config/reader.hpp"
#include "sim/program/kernel.hpp"

namespace foretrain {

/// Parameters of t = floor + hypot(Tc, Tm) for one data type.
///   Tc = F / (efficiency * peak) * (1 + k_fill / k) * (1 + occupancy * SMs * 16384 / (batch m n))
///   Tm = Q / (bandwidth * HBM rate)
struct GemmFit {
  Sourced<double> efficiency;  ///< share of the datasheet peak
  Sourced<double> bandwidth;   ///< share of the datasheet HBM rate
  Sourced<Seconds> floor;      ///< the GPU-side floor of one kernel
  double k_fill = 0;           ///< elements of k
  double occupancy = 0;        ///< tiles of 128 x 128 per SM
};

/// One flash kernel, one direction: share of the peak, and the weight of the one-tile tail.
struct FlashFit {
  Sourced<double> efficiency;
  double tail = 0;
};

/// Which of NCCL's tables apply, and whether its switch adds up. CDNA is AMD's.
enum class GpuGeneration : std::uint8_t { volta, ampere, ada, hopper, blackwell, cdna };

struct Gpu {
  std::string name;
  std::string source;
  GpuGeneration generation = GpuGeneration::ampere;
  Sourced<Bytes> memory;  ///< what a process can allocate
  Sourced<BytesPerSecond> memory_rate;
  std::int64_t sms = 0;
  std::map<Dtype, Sourced<FlopsPerSecond>> peak;  ///< dense
  std::map<Dtype, GemmFit> gemm;
  Sourced<double> weight_gradient;  ///< rate of a weight gradient relative to forward
  Sourced<Seconds> grouped_floor;   ///< of each product of a grouped GEMM
  Sourced<Seconds> flash_floor;     ///< the GPU-side floor of one flash kernel
  std::map<FlashVersion, FlashFit> flash_forward;
  std::map<FlashVersion, FlashFit> flash_backward;
  Sourced<Seconds> memory_floor;                     ///< floor of a memory-bound kernel
  std::map<MemoryOp, Sourced<double>> memory_share;  ///< achieved share of the HBM rate
  std::map<MemoryOp, Sourced<double>> element_rate;  ///< elements per SM and clock, where known
  Sourced<Hertz> clock;                              ///< what element_rate counts in
  Sourced<double> sustained;  ///< clock under sustained load relative to the fits
};

/// Limits of `sustained`: cooler or better fed machines than that of the kernel table are faster.
inline constexpr double kLeastSustained = 0.1;
inline constexpr double kMostSustained = 1.3;

/// The dtypes whose GEMM time this GPU can tell.
[[nodiscard]] bool supports(const Gpu& gpu, Dtype dtype);
/// The flash kernels that run on this GPU.
[[nodiscard]] bool supports(const Gpu& gpu, FlashVersion version);

/// Time of one kernel. REQUIRES: the GPU supports the kernel's dtype and, for flash attention, its
/// version; the plan is checked for that.
[[nodiscard]] Seconds kernel_time(const Kernel& kernel, const Gpu& gpu);

/// Every sourced number of the GPU, named as in its file: "gemm.bf16.efficiency".
[[nodiscard]] std::vector<Fact> facts(const Gpu& gpu);
/// Names of the parameters that are transferred or assumed rather than measured on this GPU.
[[nodiscard]] std::vector<std::string> unmeasured(const Gpu& gpu);

[[nodiscard]] Gpu read_gpu(config::Reader& reader);
/// A name in platforms/gpus or a path to a .toml. Throws ConfigError.
[[nodiscard]] Gpu load_gpu(config::Sources& sources, const std::string& name_or_path,
                           const std::string& platforms_directory,
                           const config::Value* overrides = nullptr);

}  // namespace foretrain
