// Software facts: what a training framework fuses, overlaps, and spends on the host.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "platforms/fact.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

/// Where weight gradients are summed over micro-batches.
enum class Accumulation : std::uint8_t {
  in_gemm,          ///< the weight-gradient GEMM adds into an fp32 buffer
  separate_16_bit,  ///< a kernel adds a 16-bit gradient to a 16-bit buffer: 6 B per parameter
  separate_fp32     ///< a kernel adds a 16-bit gradient to an fp32 buffer: 10 B per parameter
};

struct Stack {
  std::string name;
  std::string source;
  KernelChoices kernels;
  Accumulation accumulation = Accumulation::in_gemm;
  bool overlap_gradients = false;        ///< reduced per bucket while backward runs
  bool overlap_tensor_parallel = false;  ///< backward collectives behind weight gradients
  bool scatter_gather = false;           ///< a stage sends 1/tensor per rank, gathered on arrival
  bool blocking_sends = true;            ///< compute waits until what it sent has arrived
  config::Sourced<Bytes> bucket;         ///< gradients reduced in one collective, when overlapped
  config::Sourced<double> optimizer_bytes;  ///< HBM traffic of the optimizer, bytes per parameter
  config::Sourced<Seconds> host_per_step;
  config::Sourced<Seconds>
      host_per_layer;  ///< GPU idle per layer and forward (again when recomputed,
                       ///< twice in backward): launches, synchronisation
  config::Sourced<Seconds> host_per_micro_batch;  ///< of every forward and backward together
  config::Sourced<Bytes> context;  ///< device memory of CUDA, libraries and communicators

  /// Bytes of one gradient element in memory and on the wire.
  [[nodiscard]] Bytes gradient_size() const {
    return Bytes(accumulation == Accumulation::separate_16_bit ? 2 : 4);
  }
};

/// Every number that a prediction with this stack leans on, in the order of the file.
[[nodiscard]] std::vector<Fact> facts(const Stack& stack);

[[nodiscard]] Stack read_stack(config::Reader& reader);
/// A name in strategies/stacks or a path to a .toml. Throws ConfigError.
[[nodiscard]] Stack load_stack(config::Sources& sources, const std::string& name_or_path,
                               const std::string& directory);

}  // namespace foretrain
