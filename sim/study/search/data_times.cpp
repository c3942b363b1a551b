// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/data_times.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

// As data.cpp has it.
bool overlaps_sums(const Run& run, const Holders& holders) {
  return holders.replicas > 1 &&
         (run.parallel.zero == 3 ? run.sharding.overlap_gradients.value_or(true)
                                 : overlaps_gradients(run));
}

// Each flow carries whole bytes; a link is not crossed by more flows of one collective than this.
constexpr double kMostLost = 4096;

/// Parameters of a block: with gradients, and as ZeRO gathers them.
struct BlockData {
  double trained = 0;
  std::vector<std::int64_t> gathers;
};

/// Sums and gathers of one kind of parameters. Codes and averages every few steps are not looked
/// into: they take at least nothing.
class Times {
 public:
  Times(LeastCosts& costs, const Run& run, const Layout& layout, const RankPlace& place,
        const StageShape& shape, const Holders& holders)
      : costs_(costs),
        run_(run),
        layout_(layout),
        place_(place),
        shape_(shape),
        holders_(holders),
        sums_(run.compression.at(WirePlace::gradients) == nullptr && !run.sharding.averages() &&
              holders.replicas > 1),
        gathers_(run.compression.at(WirePlace::parameters) == nullptr && !run.sharding.averages() &&
                 holders.shards > 1) {}

  template <class BlockOf>
  DataTimes times(BlockOf block_of) {
    DataTimes all;
    all.is_overlapped = overlaps_sums(run_, holders_);
    std::vector<BlockData> kinds;
    for (const LayerShape& kind : shape_.kinds) {
      kinds.push_back(block_of(kind.work));
    }
    const BlockData embedding = block_of(shape_.embedding);
    const BlockData head = block_of(shape_.head);
    double trained = 0;
    for (std::int32_t c = 0; c < static_cast<std::int32_t>(shape_.chunks); ++c) {
      chunk_ = {};
      is_first_ = true;
      if (shape_.is_first(c)) {
        trained += add(embedding, false);
      }
      for (std::int64_t i = 0; i < shape_.layers_in(c); ++i) {
        const auto number = static_cast<std::size_t>(shape_.layer_number(c, i));
        trained += add(kinds[shape_.kind_of_layer[number]], true);
        if (i == 0) {
          chunk_.last_split = sum_in_pieces(kinds[shape_.kind_of_layer[number]].trained);
        }
      }
      if (shape_.is_last(c)) {
        trained += add(head, true);
      }
      all.chunks.push_back(chunk_);
      all.sums += chunk_.sum;
      all.gathers += chunk_.gather;
      all.gathers_again += chunk_.gather_again;
    }
    all.sum_at_once = sum(trained, run_.sharding.gradient_bucket.has_value());
    all.sum_by_bytes = sum(trained, true);
    all.gather_after = gather_after(trained);
    return all;
  }

 private:
  // Returns what it trains.
  double add(const BlockData& block, bool is_again) {
    const Seconds summed = sum_in_pieces(block.trained);
    if (is_first_) {  // its backward comes last
      chunk_.last = summed;
    }
    is_first_ = false;
    chunk_.sum += summed;
    for (const std::int64_t piece : block.gathers) {
      const Seconds gathered = gather(static_cast<double>(piece), false);
      chunk_.gather += gathered;
      ++chunk_.pieces;
      chunk_.gather_again += is_again ? gathered : Seconds(0);
      chunk_.pieces_again += is_again ? 1 : 0;
    }
    return block.trained;
  }

  // All groups of the stage that differ in their members on a node do the same at a time. They
  // begin together: what splits a layer waits for one another in it.
  [[nodiscard]] double shared_rate(CollectiveKind kind, std::uint32_t slot) {
    const bool is_dense = slot < kExpertGroup;
    if (!is_dense || layout_.tensor == 1 || costs_.has_links_for_each() ||
        costs_.has_unlike_devices()) {
      return 0;
    }
    std::vector<std::vector<DeviceId>> groups;
    groups.reserve(layout_.tensor);
    for (std::size_t tensor = 0; tensor < layout_.tensor; ++tensor) {
      groups.push_back(devices_of(run_, layout_, {tensor, place_.data, place_.stage}, slot));
    }
    return costs_.shared_seconds_per_byte(kind, groups);
  }

  /// What the blocks of a stage share.
  struct Group {
    std::vector<DeviceId> devices;
    double alone = 0;   ///< seconds per byte
    double shared = 0;  ///< the same, beside the groups of the other tensor ranks
  };

  const Group& group(CollectiveKind kind, std::uint32_t slot) {
    const auto [place, is_new] = groups_.try_emplace({kind, slot});
    Group& group = place->second;
    if (is_new) {
      group.devices = devices_of(run_, layout_, place_, slot);
      group.alone = costs_.seconds_per_byte(kind, group.devices);
      group.shared = shared_rate(kind, slot);
    }
    return group;
  }

  [[nodiscard]] Seconds collective(CollectiveKind kind, std::uint32_t slot, Bytes payload,
                                   bool is_by_bytes) {
    const Group& members = group(kind, slot);
    if (members.shared > members.alone) {
      return Seconds(std::max(0.0, payload.value - kMostLost) * members.shared);
    }
    return is_by_bytes ? Seconds(payload.value * members.alone)
                       : costs_.collective(kind, payload, members.devices);
  }

  // Blocks that fill a bucket each are summed one by one; else all that is known is their bytes.
  [[nodiscard]] Seconds sum_in_pieces(double parameters) {
    const bool is_unit_by_unit = run_.parallel.zero == 3 && !run_.sharding.gradient_bucket;
    const bool fills_bucket = parameters * gradient_size(run_) >= gradient_bucket(run_) &&
                              !run_.sharding.first_bucket && !run_.sharding.gradient_bucket;
    const bool is_whole = run_.stack.exposed_gradients.value == 0;
    return sum(parameters, !(is_whole && (is_unit_by_unit || fills_bucket)));
  }

  [[nodiscard]] Seconds sum(double parameters, bool is_by_bytes) {
    if (!sums_ || parameters <= 0) {
      return Seconds(0);
    }
    const Bytes payload = parameters * gradient_size(run_);
    if (run_.parallel.zero == 0) {
      return collective(CollectiveKind::all_reduce, holders_.data_group, payload, is_by_bytes);
    }
    const bool is_hybrid = holders_.shards < holders_.replicas;
    Seconds time(0);
    if (holders_.shards > 1) {
      time +=
          collective(CollectiveKind::reduce_scatter,
                     is_hybrid ? holders_.shard_group : holders_.data_group, payload, is_by_bytes);
    }
    if (is_hybrid && run_.sharding.sum_replicas_every_micro_batch) {
      time += collective(CollectiveKind::all_reduce, holders_.replica_group,
                         payload / static_cast<double>(holders_.shards), is_by_bytes);
    }
    return time;
  }

  [[nodiscard]] Seconds gather(double parameters, bool is_by_bytes) {
    return gathers_ ? collective(CollectiveKind::all_gather, holders_.parameter_group,
                                 parameters * gathered_size(run_), is_by_bytes)
                    : Seconds(0);
  }

  [[nodiscard]] Seconds gather_after(double parameters) {
    const bool is_after = (run_.parallel.zero == 1 || run_.parallel.zero == 2) &&
                          !overlaps_parameters(run_) && parameters > 0;
    const bool is_by_bytes = run_.sharding.gather_bucket.has_value();
    if (!is_after) {
      return Seconds(0);
    }
    return run_.stack.gathers_by_broadcasts ? broadcasts(parameters, is_by_bytes)
                                            : gather(parameters, is_by_bytes);
  }

  [[nodiscard]] Seconds broadcasts(double parameters, bool is_by_bytes) {
    const auto shards = static_cast<double>(holders_.shards);
    return gathers_ ? shards * collective(CollectiveKind::broadcast, holders_.parameter_group,
                                          parameters / shards * gathered_size(run_), is_by_bytes)
                    : Seconds(0);
  }

  LeastCosts& costs_;
  const Run& run_;
  const Layout& layout_;
  const RankPlace& place_;
  const StageShape& shape_;
  Holders holders_;
  std::map<std::pair<CollectiveKind, std::uint32_t>, Group> groups_;
  bool sums_;
  bool gathers_;
  ChunkData chunk_;
  bool is_first_ = true;  // block of the chunk
};

// ZeRO-3 gathers all of a block, ZeRO-1 and -2 what was updated.
std::int64_t held(const Run& run, std::int64_t all, std::int64_t trained) {
  return run.parallel.zero == 3 ? all : trained;
}

}  // namespace

DataTimes dense_times(LeastCosts& costs, const Run& run, const Layout& layout,
                      const RankPlace& place, const StageShape& shape) {
  const bool has_grid = has_expert_grid(run);
  return Times(costs, run, layout, place, shape, dense_holders(run)).times([&](const Work& work) {
    const std::int64_t experts =
        has_grid ? held(run, work.expert_parameters, work.trained_experts()) : 0;
    const GatherUnit unit =
        gather_unit(run, work, held(run, work.parameters, work.trained()) - experts);
    const std::int64_t trained_experts = has_grid ? work.trained_experts() : 0;
    return BlockData{static_cast<double>(work.trained() - trained_experts), unit.pieces};
  });
}

DataTimes expert_times(LeastCosts& costs, const Run& run, const Layout& layout,
                       const RankPlace& place, const StageShape& shape) {
  return Times(costs, run, layout, place, shape, expert_holders(run)).times([&](const Work& work) {
    return BlockData{static_cast<double>(work.trained_experts()),
                     whole_unit(held(run, work.expert_parameters, work.trained_experts())).pieces};
  });
}

DataPasses data_passes(const Run& run) {
  DataPasses passes;
  const auto micro_batches = static_cast<double>(run.num_micro_batches());
  if (reduces_every_micro_batch(run)) {
    passes.sums = micro_batches;
  }
  if (run.parallel.zero == 3) {
    const bool comes_again = reshards_after_forward(run);
    passes.forward_gathers = comes_again || run.parallel.pipeline == 1 ? micro_batches : 1;
    passes.backward_gathers = comes_again && !run.sharding.secondary_shard ? micro_batches : 0;
    const bool has_launches = run.stack.host_per_piece.value > Seconds(0) && run.shards() > 1;
    passes.serial = has_launches ? 1 : run.stack.exposed_gathers.value;
    if (has_launches) {
      passes.host_per_piece = static_cast<double>(run.shards()) * run.stack.host_per_piece.value;
    }
  } else if (run.parallel.zero > 0 && overlaps_parameters(run)) {
    passes.forward_gathers = 1;
  }
  return passes;
}

}  // namespace foretrain
