// Expert parallelism: e ranks of a stage share the experts of a layer, t' split each, and the rest
// hold the same ones. Tokens travel to their experts and back, forward and again backward.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "strategies/compress/wire.hpp"
#include "strategies/parallel/context.hpp"
#include "strategies/parallel/experts/dispatch.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// Ranks that split each expert: by default as many as split the rest (Megatron-Core's
/// expert_tensor_parallel_size).
[[nodiscard]] std::int64_t expert_tensor(const Run& run);
/// Whether experts are on other ranks than the rest of the layer, so that tokens travel.
[[nodiscard]] bool has_expert_grid(const Run& run);
/// Ranks that hold the same experts; they alone sum the gradients of these. REQUIRES: checked.
[[nodiscard]] std::int64_t expert_replicas(const Run& run);
/// Of these, ranks that share the model states under ZeRO: those in a block of `parallel.shard`
/// replicas, or all.
[[nodiscard]] std::int64_t expert_shards(const Run& run);
/// Ranks of one node among those that share the experts of a layer; 0 where nodes have different
/// numbers of them.
[[nodiscard]] std::int64_t experts_on_node(const Run& run);
/// Rows that come to the busiest rank over the mean (variation.expert_imbalance): each layer draws
/// how popular its experts are, and this is the mean over the layers. 1 when all are alike.
[[nodiscard]] double expert_load(const Run& run);

/// An imbalance without ranks that share experts.
void check_expert_imbalance(const RunFile& file, const Run& run, config::Diagnostics& diagnostics);

/// How the places of a stage form the groups of a slot (kExpertGroup to kExpertParameterGroup):
/// `count` of them, `step` apart.
struct Partition {
  std::size_t count = 1;
  std::size_t step = 1;

  [[nodiscard]] std::size_t first_of(std::size_t place) const {
    return place - place / step % count * step;
  }
};
/// REQUIRES: has_expert_grid(run).
[[nodiscard]] Partition expert_partition(const Run& run, std::uint32_t slot);

/// Writes the boundaries of experts.
class ExpertParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  ExpertParallel(const Run& run, BodyWriter& writer);

  /// Whether shared experts run beside the next boundary: their kernels are then held back.
  [[nodiscard]] bool holds_back() const {
    return stream_ != kCompute && run_.stack.hidden_experts.value == 0;
  }
  void hold(const Kernel& kernel) { held_.push_back(kernel); }

  /// `elements` are copies of tokens that this rank sends, or gets back.
  void boundary(Boundary boundary, Direction direction, double elements);

 private:
  void travel(StreamIndex stream, bool is_to_experts, double elements, double share);
  void write_way(StreamIndex stream, std::string_view name, const std::vector<Collective>& way);
  void travel_beside_kernels(bool is_to_experts, double elements);
  /// Whether a communicator has one member.
  [[nodiscard]] bool is_alone(std::uint32_t group) const;

  const Run& run_;
  BodyWriter& writer_;
  CompressedWire wire_;
  ExpertTraffic traffic_;  // without copies
  StreamIndex stream_ = kCompute;
  StreamIndex forwarding_ = kCompute;  // of what goes on while more arrives
  std::vector<Kernel> held_;
};

}  // namespace foretrain
