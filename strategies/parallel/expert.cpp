// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/expert.hpp"

#include <algorithm>
#include <utility>

#include "sim/core/error.hpp"
#include "sim/core/random.hpp"
#include "strategies/lower.hpp"

namespace foretrain {
namespace {

bool overlaps(const Run& run) {
  if (!has_expert_grid(run)) {
    return false;
  }
  return run.stack.hidden_experts.value > 0 ||
         (run.stack.overlap_shared_experts && run.model.moe->shared_ffn > 0);
}

Bytes element_size(const Run& run) {
  return std::max(Bytes(2), size_of(run.training.precision));  // fp8 is for GEMM inputs only
}

ExpertTraffic traffic_of(const Run& run) {
  const std::int64_t shared_by =
      run.parallel.context * (run.parallel.sequence_parallel ? run.parallel.tensor : 1);
  const std::int64_t tokens = run.training.micro_batch * (run.training.sequence_length / shared_by);
  ExpertTraffic traffic;
  traffic.tokens = static_cast<double>(tokens * run.model.hidden) * element_size(run);
  traffic.ranks = run.parallel.experts.degree;
  traffic.nodes = traffic.ranks / std::max<std::int64_t>(1, experts_on_node(run));
  traffic.experts = run.model.moe->experts;
  traffic.per_token = run.model.moe->experts_per_token;
  traffic.most_nodes = run.model.moe->most_nodes;
  return traffic;
}

CollectiveKind reverse(CollectiveKind kind) {
  return kind == CollectiveKind::all_gather ? CollectiveKind::reduce_scatter : kind;
}

}  // namespace

std::int64_t expert_tensor(const Run& run) {
  return run.parallel.experts.tensor.value_or(run.parallel.tensor);
}

bool has_expert_grid(const Run& run) {
  return run.model.moe &&
         (run.parallel.experts.degree > 1 || expert_tensor(run) != run.parallel.tensor);
}

std::int64_t expert_replicas(const Run& run) {
  return run.parallel.tensor * run.replicas() / (run.parallel.experts.degree * expert_tensor(run));
}

std::int64_t expert_shards(const Run& run) {
  const std::int64_t grid = run.parallel.experts.degree * expert_tensor(run);
  return std::max<std::int64_t>(1, run.parallel.tensor * run.shards() / grid);
}

std::int64_t experts_on_node(const Run& run) {
  const Layout layout = layout_of(run);
  const auto degree = static_cast<std::size_t>(run.parallel.experts.degree);
  const auto step = static_cast<std::size_t>(expert_tensor(run));
  const auto node = [&run](Rank rank) {
    return rank.index() / static_cast<std::size_t>(run.cluster.gpus_per_node);
  };
  const std::vector<Rank> members = layout.places(0, degree, step, 0);
  std::size_t first = 1;
  while (first < degree && node(members[first]) == node(members[0])) {
    ++first;
  }
  for (std::size_t i = 0; i < degree; ++i) {
    const bool is_even =
        degree % first == 0 && node(members[i]) == node(members[i / first * first]);
    if (!is_even) {
      return 0;
    }
  }
  return static_cast<std::int64_t>(first);
}

double expert_load(const Run& run) {
  const double spread = run.variation.expert_imbalance;
  const std::int64_t ranks = run.parallel.experts.degree;
  if (spread == 0 || ranks == 1 || !run.model.moe) {
    return 1;
  }
  const std::int64_t on_rank = run.model.moe->experts / ranks;
  double sum = 0;
  for (std::int64_t layer = 0; layer < run.model.layers; ++layer) {
    double all = 0;
    double busiest = 0;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      double load = 0;
      for (std::int64_t expert = rank * on_rank; expert < (rank + 1) * on_rank; ++expert) {
        load += lognormal_factor(spread, {run.variation.seed, static_cast<std::uint64_t>(layer),
                                          static_cast<std::uint64_t>(expert)});
      }
      all += load;
      busiest = std::max(busiest, load);
    }
    sum += busiest * static_cast<double>(ranks) / all;
  }
  return sum / static_cast<double>(run.model.layers);
}

Partition expert_partition(const Run& run, std::uint32_t slot) {
  const auto degree = static_cast<std::size_t>(run.parallel.experts.degree);
  const auto tensor = static_cast<std::size_t>(expert_tensor(run));
  const auto replicas = static_cast<std::size_t>(expert_replicas(run));
  const auto shards = static_cast<std::size_t>(expert_shards(run));
  const auto on_node = std::max<std::size_t>(1, static_cast<std::size_t>(experts_on_node(run)));
  const std::size_t grid = degree * tensor;
  switch (slot) {
    case kExpertGroup:
      return {degree, tensor};
    case kExpertTensorGroup:
      return {tensor, 1};
    case kExpertNodeGroup:
      return {on_node, tensor};
    case kExpertRailGroup:
      return {degree / on_node, tensor * on_node};
    case kExpertDataGroup:
      return {replicas, grid};
    case kExpertShardGroup:
    case kExpertParameterGroup:
      return {shards, grid};
    case kExpertReplicaGroup:
      return {replicas / shards, grid * shards};
    default:
      throw InternalError("no slot of expert parallelism");
  }
}

ExpertParallel::ExpertParallel(const Run& run, BodyWriter& writer)
    : run_(run), writer_(writer), wire_(run, writer, WirePlace::experts) {
  if (has_expert_grid(run)) {
    traffic_ = traffic_of(run);
  }
  if (overlaps(run)) {
    stream_ = writer.add_stream("expert");
  }
  if (has_expert_grid(run) && expert_dispatch(run.stack.expert_dispatch).is_pipelined) {
    forwarding_ = writer.add_stream("expert forwarding");
  }
}

bool ExpertParallel::is_alone(std::uint32_t group) const {
  switch (group) {
    case kExpertNodeGroup:
      return traffic_.ranks == traffic_.nodes;
    case kExpertRailGroup:
      return traffic_.nodes == 1;
    default:
      return traffic_.ranks == 1;
  }
}

void ExpertParallel::boundary(Boundary boundary, Direction direction, double elements) {
  const bool is_to_experts =
      (boundary == Boundary::dispatch_experts) == (direction == Direction::forward);
  if (stream_ == kCompute) {
    travel(kCompute, is_to_experts, elements, 1);
  } else if (!holds_back()) {
    travel_beside_kernels(is_to_experts, elements);
  } else {
    writer_.wait(stream_, writer_.record(kCompute));
    travel(stream_, is_to_experts, elements, 1);
    for (const Kernel& kernel : std::exchange(held_, {})) {
      writer_.kernel(kernel);
    }
    writer_.wait(kCompute, writer_.record(stream_));
  }
}

// Where a stack lets two micro-batches take turns (DualPipe, DeepSeek-AI 2024, section 3.2.1;
// Megatron-Core's combined 1F1B), the kernels of one hide what the other sends. Here a share of the
// bytes travels beside the kernels since the last boundary, which are as many, and the rest after
// them.
void ExpertParallel::travel_beside_kernels(bool is_to_experts, double elements) {
  const double share = run_.stack.hidden_experts.value;
  const std::vector<Kernel> beside = writer_.take_back_while([](const Kernel&) { return true; });
  writer_.wait(stream_, writer_.record(kCompute));
  travel(stream_, is_to_experts, elements, share);
  for (const Kernel& kernel : beside) {
    writer_.kernel(kernel);
  }
  if (share < 1) {
    writer_.wait(stream_, writer_.record(kCompute));
    travel(stream_, is_to_experts, elements, 1 - share);
  }
  writer_.wait(kCompute, writer_.record(stream_));
}

// First between the ranks that share the experts, then every rank that splits one gets the rows of
// all that split it; back the other way round.
void ExpertParallel::travel(StreamIndex stream, bool is_to_experts, double elements, double share) {
  ExpertTraffic traffic = traffic_;
  traffic.tokens = share * traffic_.tokens;
  traffic.copies = share * elements * element_size(run_);
  std::vector<Collective> way = expert_dispatch(run_.stack.expert_dispatch).way(traffic);
  way.erase(std::remove_if(way.begin(), way.end(),
                           [this](const Collective& part) { return is_alone(part.communicator); }),
            way.end());
  if (expert_tensor(run_) > 1) {
    way.push_back({CollectiveKind::all_gather, kExpertTensorGroup,
                   static_cast<double>(expert_tensor(run_)) * traffic.copies});
  }
  if (!is_to_experts) {
    std::reverse(way.begin(), way.end());
  }
  for (Collective& part : way) {
    part.kind = is_to_experts ? part.kind : reverse(part.kind);
  }
  write_way(stream, is_to_experts ? "to experts" : "from experts", way);
}

// What is sent second came first, or it comes token by token.
void ExpertParallel::write_way(StreamIndex stream, std::string_view name,
                               const std::vector<Collective>& way) {
  if (forwarding_ != kCompute) {
    writer_.wait(forwarding_, writer_.record(stream));
  }
  StreamIndex origin = kCompute;
  for (const Collective& part : way) {
    const bool is_forwarding = forwarding_ != kCompute && part.communicator == kExpertNodeGroup;
    if (forwarding_ != kCompute && part.communicator == kExpertTensorGroup) {
      writer_.wait(stream, writer_.record(forwarding_));
    }
    wire_.collective(origin, is_forwarding ? forwarding_ : stream, name, part);
    if (forwarding_ != kCompute && part.communicator == kExpertTensorGroup) {
      writer_.wait(forwarding_, writer_.record(stream));  // on the way back it is the first
    }
    origin = stream;
  }
  if (forwarding_ != kCompute) {
    writer_.wait(stream, writer_.record(forwarding_));
  }
}

}  // namespace foretrain
