// SPDX-License-Identifier: Apache-2.0
#include "strategies/lower.hpp"

#include <utility>

#include "strategies/stage.hpp"

namespace foretrain {
namespace {

GroupId add_group(ProgramBuilder& builder, std::string_view axis, std::vector<Rank> members) {
  builder.program.groups.push_back({builder.name(axis), std::move(members)});
  return GroupId(builder.program.groups.size() - 1);
}

/// Ids of the groups of a layout, by the coordinates that tell them apart.
struct Groups {
  std::vector<GroupId> tensor;     // [data + stage * D]
  std::vector<GroupId> data;       // [tensor + stage * T]
  std::vector<GroupId> model;      // [data]
  std::vector<GroupId> embedding;  // [tensor + data * T]
};

Groups add_groups(const Layout& layout, ProgramBuilder& builder) {
  Groups groups;
  for (std::size_t stage = 0; stage < layout.pipeline; ++stage) {
    for (std::size_t d = 0; d < layout.data; ++d) {
      groups.tensor.push_back(add_group(builder, "tensor", layout.tensor_group(d, stage)));
    }
    for (std::size_t t = 0; t < layout.tensor; ++t) {
      groups.data.push_back(add_group(builder, "data", layout.data_group(t, stage)));
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

RankBinding bind(Rank rank, const Layout& layout, const Groups& groups) {
  const std::size_t t = layout.tensor_index(rank);
  const std::size_t d = layout.data_index(rank);
  const std::size_t stage = layout.stage(rank);
  RankBinding binding;
  binding.body = BodyId(stage);
  binding.device = DeviceId(rank.index());
  binding.communicators.resize(kModelGroup + 1);
  binding.communicators[kTensorGroup] = groups.tensor[d + stage * layout.data];
  binding.communicators[kDataGroup] = groups.data[t + stage * layout.tensor];
  binding.communicators[kModelGroup] = groups.model[d];
  if (layout.pipeline > 1) {
    if (stage == 0 || stage == layout.pipeline - 1) {
      binding.communicators.push_back(groups.embedding[t + d * layout.tensor]);
    }
    binding.peers = {layout.rank(t, d, (stage + 1) % layout.pipeline),
                     layout.rank(t, d, (stage + layout.pipeline - 1) % layout.pipeline)};
  }
  return binding;
}

}  // namespace

Layout layout_of(const Run& run) {
  return {static_cast<std::size_t>(run.parallel.tensor),
          static_cast<std::size_t>(run.data_parallel()),
          static_cast<std::size_t>(run.parallel.pipeline)};
}

Program lower(const Run& run) {
  ProgramBuilder builder;
  const Layout layout = layout_of(run);
  for (std::size_t stage = 0; stage < layout.pipeline; ++stage) {
    builder.program.bodies.push_back(stage_body(run, static_cast<std::int64_t>(stage), builder));
  }
  const Groups groups = add_groups(layout, builder);
  for (std::size_t rank = 0; rank < layout.num_ranks(); ++rank) {
    builder.program.ranks.push_back(bind(Rank(rank), layout, groups));
  }
  return std::move(builder.program);
}

Flops model_flops(const Run& run) {
  return 3.0 * static_cast<double>(run.training.global_batch) *
         forward_flops(run.model, run.training.sequence_length);
}

Flops hardware_flops(const Run& run) {
  const double sequences = static_cast<double>(run.training.global_batch);
  const std::int64_t length = run.training.sequence_length;
  switch (run.training.recompute) {
    case Recompute::none:
      return model_flops(run);
    case Recompute::selective:
      return model_flops(run) + sequences * attention_core_flops(run.model, length);
    case Recompute::full:  // all layers again, not the head
      return model_flops(run) +
             sequences * (forward_flops(run.model, length) - head_flops(run.model, length));
  }
  return model_flops(run);
}

}  // namespace foretrain
