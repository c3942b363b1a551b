// SPDX-License-Identifier: Apache-2.0
#include "strategies/lower.hpp"

#include <array>
#include <utility>

#include "strategies/compress/node_groups.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

GroupId add_group(ProgramBuilder& builder, std::string_view axis, std::vector<Rank> members) {
  builder.program.groups.push_back({builder.name(axis), std::move(members)});
  return GroupId(builder.program.groups.size() - 1);
}

/// Ids of the groups of a layout, by the coordinates that tell them apart; empty where not used.
struct Groups {
  std::vector<GroupId> tensor;     // [data + stage * D]
  std::vector<GroupId> data;       // [tensor + stage * T]
  std::vector<GroupId> model;      // [data]
  std::vector<GroupId> context;    // [tensor + T * (data / context + D / context * stage)]
  std::vector<GroupId> shard;      // [tensor + T * (data / shard + D / shard * stage)]
  std::vector<GroupId> parameter;  // likewise
  std::vector<GroupId> replica;    // [tensor + T * (data % shard + shard * stage)]
  std::vector<GroupId> secondary;  // [tensor + T * (data / secondary + D / secondary * stage)]
  std::vector<GroupId> embedding;  // [tensor + data * T]
  // Slot by slot where experts have a grid of their own: [place + stage * places].
  std::array<std::vector<GroupId>, kNumGroupSlots> experts;
};

void add_stage_groups(const Layout& layout, std::size_t stage, ProgramBuilder& builder,
                      Groups& groups) {
  for (std::size_t d = 0; d < layout.data; ++d) {
    groups.tensor.push_back(add_group(builder, "tensor", layout.tensor_group(d, stage)));
  }
  const std::size_t twin = layout.twin(stage);  // shares the group of an earlier stage
  for (std::size_t t = 0; t < layout.tensor; ++t) {
    groups.data.push_back(twin < stage ? groups.data[t + twin * layout.tensor]
                                       : add_group(builder, "data", layout.data_group(t, stage)));
  }
}

// The order of the groups is the order of the vectors above.
void add_context_groups(const Layout& layout, std::size_t stage, ProgramBuilder& builder,
                        Groups& groups) {
  for (std::size_t k = 0; k < layout.data / layout.context && layout.context > 1; ++k) {
    for (std::size_t t = 0; t < layout.tensor; ++t) {
      groups.context.push_back(add_group(builder, "context", layout.context_group(t, k, stage)));
    }
  }
}

void add_shard_groups(const Layout& layout, std::size_t stage, ProgramBuilder& builder,
                      Groups& groups) {
  const bool is_hybrid = layout.shard < layout.data * layout.copies;
  const std::size_t twin = layout.twin(stage);
  for (std::size_t k = 0; k < layout.data / layout.shard && layout.shard > 1; ++k) {
    for (std::size_t t = 0; t < layout.tensor; ++t) {
      const std::vector<Rank> members = layout.shard_group(t, k, stage);
      groups.parameter.push_back(add_group(builder, "data", members));
      if (is_hybrid) {
        groups.shard.push_back(add_group(builder, "data", members));
      }
    }
  }
  const std::size_t secondary = layout.secondary;
  for (std::size_t k = 0; secondary > 1 && k < layout.data / secondary; ++k) {
    for (std::size_t t = 0; t < layout.tensor; ++t) {
      groups.secondary.push_back(add_group(builder, "data", layout.secondary_group(t, k, stage)));
    }
  }
  for (std::size_t offset = 0; offset < layout.shard && is_hybrid; ++offset) {
    for (std::size_t t = 0; t < layout.tensor; ++t) {
      groups.replica.push_back(
          twin < stage ? groups.replica[t + layout.tensor * (offset + layout.shard * twin)]
                       : add_group(builder, "data", layout.replica_group(t, offset, stage)));
    }
  }
}

// The places of a stage in the groups of a slot; those that hold the same parameters, with their
// twins.
void add_partition(const Run& run, const Layout& layout, std::size_t stage, std::uint32_t slot,
                   std::string_view axis, bool is_with_twin, Groups& groups,
                   ProgramBuilder& builder) {
  const Partition partition = expert_partition(run, slot);
  const auto members = [&](std::size_t place, std::size_t holder) {
    return layout.places(place, partition.count, partition.step, holder);
  };
  std::vector<GroupId>& ids = groups.experts[slot];
  const std::size_t before = ids.size();
  const std::size_t twin = is_with_twin ? layout.twin(stage) : stage;
  for (std::size_t place = 0; place < layout.num_places(); ++place) {
    const std::size_t first = partition.first_of(place);
    if (twin < stage) {
      ids.push_back(ids[place + twin * layout.num_places()]);
    } else if (first < place) {
      ids.push_back(ids[before + first]);
    } else if (is_with_twin) {
      ids.push_back(add_group(builder, axis, layout.with_twin(stage, [&](std::size_t holder) {
        return members(place, holder);
      })));
    } else {
      ids.push_back(add_group(builder, axis, members(place, stage)));
    }
  }
}

void add_expert_groups(const Run& run, const Layout& layout, std::size_t stage,
                       ProgramBuilder& builder, Groups& groups) {
  const auto add = [&](std::uint32_t slot, std::string_view axis, bool is_with_twin = false) {
    add_partition(run, layout, stage, slot, axis, is_with_twin, groups, builder);
  };
  add(kExpertGroup, "expert");
  add(kExpertTensorGroup, "expert tensor");
  if (expert_dispatch(run.stack.expert_dispatch).needs_nodes) {
    add(kExpertNodeGroup, "expert");
    add(kExpertRailGroup, "expert");
  }
  add(kExpertDataGroup, "expert data", true);
  if (run.parallel.zero >= 1) {
    add(kExpertParameterGroup, "expert data");
    add(kExpertShardGroup, "expert data");
    add(kExpertReplicaGroup, "expert data", true);
  }
}

Groups add_groups(const Run& run, const Layout& layout, ProgramBuilder& builder) {
  Groups groups;
  for (std::size_t stage = 0; stage < layout.pipeline; ++stage) {
    add_stage_groups(layout, stage, builder, groups);
    add_context_groups(layout, stage, builder, groups);
    if (run.parallel.zero >= 1 || run.sharding.averages()) {
      add_shard_groups(layout, stage, builder, groups);
    }
    if (has_expert_grid(run)) {
      add_expert_groups(run, layout, stage, builder, groups);
    }
  }
  for (std::size_t d = 0; d < layout.data; ++d) {
    groups.model.push_back(add_group(builder, "model", layout.model_group(d)));
    for (std::size_t t = 0; t < layout.tensor && layout.pipeline > 1; ++t) {
      groups.embedding.push_back(add_group(builder, "embedding", layout.embedding_group(t, d)));
    }
  }
  return groups;
}

// Neighbours in the pipeline, and among the ranks that share a sequence where messages go round
// them.
std::vector<Rank> peers_of(Rank rank, const Layout& layout) {
  const std::size_t t = layout.tensor_index(rank);
  const std::size_t d = layout.data_index(rank);
  const std::size_t stage = layout.stage(rank);
  const std::size_t first = d / layout.context * layout.context;
  const std::size_t c = d - first;
  std::vector<Rank> peers;
  if (layout.pipeline > 1 || layout.context > 1) {
    peers = {layout.rank(t, d, (stage + 1) % layout.pipeline),
             layout.rank(t, d, (stage + layout.pipeline - 1) % layout.pipeline)};
  }
  if (layout.context > 1) {
    peers.push_back(layout.rank(t, first + (c + 1) % layout.context, stage));
    peers.push_back(layout.rank(t, first + (c + layout.context - 1) % layout.context, stage));
  }
  return peers;
}

RankBinding bind(Rank rank, const Layout& layout, const Groups& groups) {
  const std::size_t t = layout.tensor_index(rank);
  const std::size_t d = layout.data_index(rank);
  const std::size_t stage = layout.stage(rank);
  RankBinding binding;
  binding.body = BodyId(stage);
  binding.device = DeviceId(rank.index());
  // Slots that no body of this layout uses hold the tensor group.
  binding.communicators.assign(kNumGroupSlots, groups.tensor[d + stage * layout.data]);
  const auto fill = [&binding](std::uint32_t slot, const std::vector<GroupId>& ids,
                               std::size_t index) {
    if (!ids.empty()) {
      binding.communicators[slot] = ids[index];
    }
  };
  const auto place = [&](std::size_t group, std::size_t groups_per_stage) {
    return t + layout.tensor * (group + groups_per_stage * stage);
  };
  const bool is_end = stage == 0 || stage == layout.pipeline - 1;
  fill(kDataGroup, groups.data, t + stage * layout.tensor);
  fill(kModelGroup, groups.model, d);
  fill(kContextGroup, groups.context, place(d / layout.context, layout.data / layout.context));
  fill(kShardGroup, groups.shard, place(d / layout.shard, layout.data / layout.shard));
  fill(kParameterGroup, groups.parameter, place(d / layout.shard, layout.data / layout.shard));
  if (layout.secondary > 0) {
    fill(kSecondaryGroup, groups.secondary,
         place(d / layout.secondary, layout.data / layout.secondary));
  }
  fill(kReplicaGroup, groups.replica, place(d % layout.shard, layout.shard));
  if (is_end) {
    fill(kEmbeddingGroup, groups.embedding, t + d * layout.tensor);
  }
  for (std::uint32_t slot = kExpertGroup; slot <= kExpertParameterGroup; ++slot) {
    fill(slot, groups.experts[slot], layout.place_of(rank) + stage * layout.num_places());
  }
  binding.peers = peers_of(rank, layout);
  return binding;
}

}  // namespace

Layout layout_of(const Run& run) {
  return {static_cast<std::size_t>(run.parallel.tensor), static_cast<std::size_t>(run.replicas()),
          static_cast<std::size_t>(run.parallel.pipeline),
          static_cast<std::size_t>(run.parallel.context),
          // Without ZeRO islands that average have the groups of shards.
          static_cast<std::size_t>(run.parallel.zero == 0 && run.sharding.averages()
                                       ? run.summed_replicas()
                                       : run.shards()),
          run.parallel.grid.order, static_cast<std::size_t>(copies(run.placement())),
          static_cast<std::size_t>(run.sharding.secondary_shard.value_or(0))};
}

namespace {

void add_ranks(const Run& run, const Layout& layout, ProgramBuilder& builder) {
  const Groups groups = add_groups(run, layout, builder);
  for (std::size_t rank = 0; rank < layout.num_ranks(); ++rank) {
    builder.program.ranks.push_back(bind(Rank(rank), layout, groups));
  }
}

}  // namespace

Program lay_out(const Run& run) {
  ProgramBuilder builder;
  add_ranks(run, layout_of(run), builder);
  return std::move(builder.program);
}

Program lower(const Run& run) {
  ProgramBuilder builder;
  const Layout layout = layout_of(run);
  for (std::size_t stage = 0; stage < layout.pipeline; ++stage) {
    builder.program.bodies.push_back(stage_body(run, static_cast<std::int64_t>(stage), builder));
  }
  add_ranks(run, layout, builder);
  add_node_groups(static_cast<std::size_t>(run.cluster.gpus_per_node), builder.program);
  return std::move(builder.program);
}

namespace {

// Forward, the gradient that is passed on, the gradient of the weights.
double passes(const BlockTuning& tuning) {
  if (!tuning.has_backward) {
    return 1;
  }
  return tuning.is_frozen ? 2 : 3;
}

Flops adapters_in(const Work& work) {
  Flops sum;
  for (const Step& step : work.forward) {
    const auto* gemm = std::get_if<Gemm>(&step.what);
    if (gemm != nullptr && step.name.starts_with("adapter_")) {
      sum += flops(Kernel{NameId(0), *gemm});
    }
  }
  return sum;
}

// Forward products of the adapters for one sequence.
Flops adapter_flops(const Run& run) {
  Run one = run;  // sequence on one rank
  one.training.micro_batch = 1;
  one.parallel = {};
  const StageShape shape = stage_shape(one, 0);
  Flops sum = adapters_in(shape.head);
  for (std::int64_t layer = 0; layer < run.model.layers; ++layer) {
    sum += adapters_in(shape.layer(layer).work);
  }
  return sum;
}

// Of one sequence, where parts of the model are frozen.
Flops tuning_flops(const Run& run) {
  const std::int64_t length = run.training.sequence_length;
  const Flops core = attention_core_flops(run.model, length);
  const Flops head = head_flops(run.model, length);
  const Flops patches = embedding_flops(run.model, length);
  const Flops products = forward_flops(run.model, length) - core - head - patches;
  const BlockTuning layers = tuning_of(run, ModelPart::layers);
  return passes(layers) * products + (layers.has_backward ? 3.0 : 1.0) * core +
         passes(tuning_of(run, ModelPart::head)) * head +
         passes(tuning_of(run, ModelPart::embedding)) * patches + 3.0 * adapter_flops(run);
}

}  // namespace

Flops model_flops(const Run& run) {
  const double sequences = static_cast<double>(run.training.global_batch);
  if (!run.training.tuning.is_none()) {
    return sequences * tuning_flops(run);
  }
  return 3.0 * sequences * forward_flops(run.model, run.training.sequence_length);
}

// Adapters that run again with a whole layer are left out.
Flops hardware_flops(const Run& run) { return model_flops(run) + recomputed_flops(run); }

}  // namespace foretrain
