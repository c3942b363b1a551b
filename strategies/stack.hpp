// Software facts: what a training framework fuses, overlaps, and spends on the host.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "platforms/fact.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

/// Where weight gradients are summed over micro-batches.
enum class Accumulation : std::uint8_t {
  in_gemm,          ///< the weight-gradient GEMM adds into an fp32 buffer
  separate_16_bit,  ///< a kernel adds a 16-bit gradient to a 16-bit buffer: 6 B per parameter
  separate_fp32,    ///< a kernel adds a 16-bit gradient to an fp32 buffer: 10 B per parameter
  sharded           ///< FSDP: a 16-bit gradient is reduced into the fp32 shard of its rank
};

struct Stack {
  std::string name;
  std::string source;
  KernelChoices kernels;
  std::vector<std::pair<std::string, config::Sourced<double>>>
      eager;  ///< the traffic keys of `kernels` that are given, for reports
  Accumulation accumulation = Accumulation::in_gemm;
  bool overlap_gradients = false;        ///< reduced per bucket while backward runs
  bool overlap_tensor_parallel = false;  ///< backward collectives behind weight gradients
  bool scatter_gather = false;           ///< a stage sends 1/tensor per rank, gathered on arrival
  bool blocking_sends = true;            ///< compute waits until what it sent has arrived
  bool overlap_parameters = false;  ///< ZeRO-1/2: gathered while the next forward runs, per layer
  bool overlap_context = false;     ///< keys and values travel while attention runs
  std::string expert_dispatch = "all-to-all";  ///< how tokens travel to their experts
  bool overlap_shared_experts = false;         ///< while the shared ones run
  config::Sourced<double> hidden_experts;      ///< share of their bytes that travel beside kernels
  config::Sourced<double> hidden_tensor_parallel;  ///< share of tensor-parallel bytes that travel
                                                   ///< beside the GEMM next to them
  config::Sourced<double> exposed_gradients;  ///< share of overlapped gradient bytes that wait for
                                              ///< the end of backward
  config::Sourced<double> exposed_gathers;    ///< share of the bytes of ZeRO-3 gathers that compute
                                              ///< waits for in spite of prefetching
  bool gathers_by_broadcasts = false;       ///< ZeRO-1/2: updated parameters travel by a broadcast
                                            ///< from every rank, one after the other
  bool gather_by_tensor = false;            ///< ZeRO-3: a gather for each tensor, not each layer
  bool gathers_after_recompute = false;     ///< ZeRO-3: drops what a recomputed layer has gathered,
                                            ///< and gathers it again for its backward
  config::Sourced<Seconds> host_per_piece;  ///< ZeRO-3: the host's work on one rank's part of one
                                            ///< tensor that is gathered or scattered; above 0 it
                                            ///< waits for the GPU before it gathers
  config::Sourced<Bytes> bucket;  ///< gradients reduced in one collective, when overlapped
  config::Sourced<double> optimizer_bytes;  ///< HBM traffic of the optimizer, bytes per parameter
  config::Sourced<Seconds> host_per_step;
  config::Sourced<Seconds>
      host_per_layer;  ///< GPU idle per layer and forward (again when recomputed,
                       ///< twice in backward): launches, synchronisation
  config::Sourced<Seconds> host_per_micro_batch;  ///< of every forward and backward together
  config::Sourced<Seconds> host_per_kernel;  ///< the host launches one kernel in this time; a run
                                             ///< of kernels takes at least as long as its launches
  config::Sourced<double> optimizer_state_bytes;  ///< per parameter; 0: what the optimizer says
  config::Sourced<Bytes> context;           ///< device memory of the CUDA context and of libraries
  config::Sourced<Bytes> communicators;     ///< device memory of NCCL's buffers
  config::Sourced<double> allocator_slack;  ///< cached but unused memory, as a share of all that
                                            ///< comes and goes within a step

  /// Bytes of one gradient element in memory and on the wire.
  [[nodiscard]] Bytes gradient_size() const {
    return Bytes(accumulation == Accumulation::separate_16_bit ? 2 : 4);
  }
};

/// Every number that a prediction with this stack leans on, in the order of the file.
[[nodiscard]] std::vector<Fact> facts(const Stack& stack);

[[nodiscard]] Stack read_stack(config::Reader& reader);
/// A name in strategies/stacks or a path to a .toml; `overrides` replaces some of its keys. Throws
/// ConfigError.
[[nodiscard]] Stack load_stack(config::Sources& sources, const std::string& name_or_path,
                               const std::string& directory,
                               const config::Value* overrides = nullptr);

}  // namespace foretrain
