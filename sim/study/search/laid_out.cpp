// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/laid_out.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "strategies/pipeline/placement.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage_layers.hpp"

namespace foretrain {
namespace {

void add(PassTime& sum, const PassTime& part) {
  sum.stream += part.stream;
  sum.kernels += part.kernels;
}

/// Adds up the blocks of one chunk.
class ChunkSum {
 public:
  ChunkSum(const Run& run, const Blocks& blocks) : run_(run), blocks_(blocks) {}

  ChunkTimes sum(std::int64_t place, std::int64_t num_places, std::int64_t first_layer,
                 std::int64_t count) {
    chunk_.place = place;
    if (place == 0) {
      add_block(blocks_.embedding, false);
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const auto number = static_cast<std::size_t>(first_layer + i);
      add_block(blocks_.layers[blocks_.kind_of_layer[number]],
                is_recomputed(run_, first_layer + i, i));
    }
    if (place == num_places - 1) {
      add_block(blocks_.head, false);
    }
    return chunk_;
  }

 private:
  void add_block(const BlockTimes& block, bool is_again) {
    add(chunk_.forward, block.forward);
    chunk_.last_forward = block.forward.stream;
    PassTime backward = block.backward;
    PassTime input = block.input_gradient;
    if (is_again) {
      add(backward, block.again);
      add(input, block.again);
    }
    add(chunk_.backward, backward);
    add(chunk_.input_gradient, input);
    add(chunk_.weight_gradient, block.weight_gradient);
    chunk_.first_gradients = backward.stream;  // of the last block, which comes first
    chunk_.gathered += block.gathered;
    chunk_.largest_gather = std::max(chunk_.largest_gather, block.gathered);
    chunk_.kept += is_again ? block.kept : block.saved;
    chunk_.made_again = std::max(chunk_.made_again, is_again ? block.made_again : Bytes(0));
    chunk_.stored += block.stored;
  }

  const Run& run_;
  const Blocks& blocks_;
  ChunkTimes chunk_;
};

// With sequence parallelism a rank holds a share of an activation, with scatter/gather it sends
// one; how much a compressor leaves of it is not asked.
Bytes message_payload(const Run& run, Bytes stream) {
  if (run.compression.at(WirePlace::pipeline) != nullptr) {
    return Bytes(0);
  }
  const bool is_shared = run.parallel.sequence_parallel || run.stack.scatter_gather;
  return is_shared ? stream / static_cast<double>(run.parallel.tensor) : stream;
}

/// Lays out the chunks of one column.
class PipelineMaker {
 public:
  PipelineMaker(const Run& run, const RankColumn& column, PipelineTimes& pipeline)
      : run_(run), column_(column), pipeline_(pipeline), shape_(run.pipeline_shape()) {}

  template <class BlocksOf>
  void make(BlocksOf blocks_of) {
    pipeline_.stages = static_cast<std::size_t>(run_.parallel.pipeline);
    pipeline_.chunks_per_stage = static_cast<std::size_t>(run_.parallel.virtual_stages);
    pipeline_.chunks.assign(pipeline_.stages * pipeline_.chunks_per_stage, {});
    pipeline_.until_forward.assign(pipeline_.chunks.size(), Seconds(0));
    pipeline_.after_gradient.assign(pipeline_.chunks.size(), Seconds(0));
    find_lanes();
    for (const std::vector<std::size_t>& lane : pipeline_.lanes) {
      fill(lane, blocks_of);
      add_up(lane);
    }
  }

 private:
  [[nodiscard]] std::size_t stage_of(std::size_t chunk) const {
    return chunk / pipeline_.chunks_per_stage;
  }
  [[nodiscard]] std::int64_t number_of(std::size_t chunk) const {
    return static_cast<std::int64_t>(chunk % pipeline_.chunks_per_stage);
  }

  void find_lanes() {
    const bool is_twofold = run_.placement() == ChunkPlacement::both_ways;
    const auto places = static_cast<std::size_t>(num_places(run_.placement(), shape_));
    pipeline_.lanes.assign(is_twofold ? 2 : 1, std::vector<std::size_t>(places, 0));
    for (std::size_t i = 0; i < pipeline_.chunks.size(); ++i) {
      const auto place = static_cast<std::size_t>(
          place_of(run_.placement(), shape_, static_cast<std::int32_t>(stage_of(i)),
                   static_cast<std::int32_t>(number_of(i))));
      const auto lane = is_twofold ? static_cast<std::size_t>(number_of(i)) : std::size_t{0};
      pipeline_.lanes[lane][place] = i;
    }
  }

  template <class BlocksOf>
  void fill(const std::vector<std::size_t>& lane, BlocksOf blocks_of) {
    std::int64_t first_layer = 0;
    for (std::size_t place = 0; place < lane.size(); ++place) {
      const std::size_t i = lane[place];
      const Blocks& blocks = blocks_of(stage_of(i));
      const std::int64_t count =
          layers_of(run_, static_cast<std::int64_t>(stage_of(i)), number_of(i));
      ChunkTimes& chunk = pipeline_.chunks[i];
      chunk = ChunkSum(run_, blocks)
                  .sum(static_cast<std::int64_t>(place), static_cast<std::int64_t>(lane.size()),
                       first_layer, count);
      if (number_of(i) == 0 || pipeline_.lanes.size() > 1) {
        chunk.host = run_.stack.host_per_micro_batch.value;
      }
      first_layer += count;
      const Bytes stream =
          first_layer == 0
              ? blocks.embedding.stream
              : blocks.layers[blocks.kind_of_layer[static_cast<std::size_t>(first_layer - 1)]]
                    .stream;
      if (place + 1 < lane.size()) {
        link(i, lane[place + 1], message_payload(run_, stream), blocks.arrival);
      }
    }
  }

  // What one place hands to the next, and gets back. What is scattered is gathered on arrival.
  void link(std::size_t from, std::size_t to, Bytes payload, Seconds arrival) {
    const std::size_t a = stage_of(from);
    const std::size_t b = stage_of(to);
    if (a == b) {
      return;
    }
    const bool goes_to_next = b == (a + 1) % pipeline_.stages;
    const LeastMessage& there = goes_to_next ? column_.to_next[a] : column_.to_previous[a];
    const LeastMessage& back = goes_to_next ? column_.to_previous[b] : column_.to_next[b];
    pipeline_.chunks[from].message = there.time(payload);
    pipeline_.chunks[to].message_back = back.time(payload);
    gathers_on_arrival_.push_back({to, from, arrival});
  }

  void add_up(const std::vector<std::size_t>& lane) {
    for (const auto& [forward_to, backward_to, time] : gathers_on_arrival_) {
      pipeline_.chunks[forward_to].forward.stream += time;
      pipeline_.chunks[backward_to].backward.stream += time;
      pipeline_.chunks[backward_to].input_gradient.stream += time;
    }
    gathers_on_arrival_.clear();
    for (std::size_t place = 1; place < lane.size(); ++place) {
      const ChunkTimes& before = pipeline_.chunks[lane[place - 1]];
      const ChunkTimes& here = pipeline_.chunks[lane[place]];
      pipeline_.until_forward[lane[place]] =
          pipeline_.until_forward[lane[place - 1]] + before.forward.stream + before.message;
      pipeline_.after_gradient[lane[place]] =
          pipeline_.after_gradient[lane[place - 1]] + here.message_back +
          std::min(before.input_gradient.stream, before.backward.stream);
    }
  }

  struct Arrival {
    std::size_t forward_to = 0;
    std::size_t backward_to = 0;
    Seconds time;
  };

  const Run& run_;
  const RankColumn& column_;
  PipelineTimes& pipeline_;
  PipelineShape shape_;
  std::vector<Arrival> gathers_on_arrival_;
};

}  // namespace

const RankGrid& LaidOutTable::grid(const Run& run) {
  const GridKey key = {run.parallel.tensor,         run.parallel.pipeline, run.parallel.context,
                       run.parallel.experts.degree, run.shards(),          copies(run.placement())};
  const auto found = grids_.find(key);
  return found != grids_.end() ? found->second : grids_.emplace(key, make_grid(run)).first->second;
}

RankGrid LaidOutTable::make_grid(const Run& run) {
  RankGrid grid;
  grid.layout = layout_of(run);
  for (const auto& [tensor, data] : unlike_columns(grid.layout)) {
    grid.columns.push_back(make_column(run, grid.layout, tensor, data));
  }
  return grid;
}

// The first column, and the first of each other sequence of kinds of devices, up to a few.
std::vector<std::pair<std::size_t, std::size_t>> LaidOutTable::unlike_columns(
    const Layout& layout) const {
  constexpr std::size_t kMost = 4;
  std::vector<std::pair<std::size_t, std::size_t>> columns = {{0, 0}};
  if (costs_.is_uniform() && !costs_.has_unlike_devices()) {
    return columns;
  }
  std::set<std::vector<std::size_t>> seen;
  for (std::size_t data = 0; data < layout.data && seen.size() < kMost; ++data) {
    for (std::size_t tensor = 0; tensor < layout.tensor && seen.size() < kMost; ++tensor) {
      std::vector<std::size_t> kinds;
      kinds.reserve(layout.pipeline);
      for (std::size_t stage = 0; stage < layout.pipeline; ++stage) {
        kinds.push_back(costs_.device_kind(DeviceId(layout.rank(tensor, data, stage).index())));
      }
      if (seen.insert(std::move(kinds)).second && seen.size() > 1) {
        columns.emplace_back(tensor, data);
      }
    }
  }
  return columns;
}

RankColumn LaidOutTable::make_column(const Run& run, const Layout& layout, std::size_t tensor,
                                     std::size_t data) {
  RankColumn column;
  const auto device = [&](std::size_t stage) {
    return DeviceId(layout.rank(tensor, data, stage % layout.pipeline).index());
  };
  for (std::size_t stage = 0; stage < layout.pipeline; ++stage) {
    column.ranks.push_back({tensor, data, stage});
    column.views.push_back(view(run, layout, column.ranks.back()));
    if (layout.pipeline > 1) {
      column.to_next.push_back(costs_.message(device(stage), device(stage + 1)));
      column.to_previous.push_back(
          costs_.message(device(stage), device(stage + layout.pipeline - 1)));
    }
  }
  return column;
}

std::uint32_t LaidOutTable::view(const Run& run, const Layout& layout, const RankPlace& place) {
  const DeviceId device(layout.rank(place.tensor, place.data, place.stage).index());
  std::vector<std::uint32_t> key = {static_cast<std::uint32_t>(costs_.device_kind(device))};
  for (const std::uint32_t slot : {kTensorGroup, kContextGroup, kExpertGroup, kExpertTensorGroup,
                                   kExpertNodeGroup, kExpertRailGroup}) {
    key.push_back(costs_.pattern(devices_of(run, layout, place, slot)));
  }
  return views_.try_emplace(std::move(key), static_cast<std::uint32_t>(views_.size()))
      .first->second;
}

const PipelineTimes& LaidOutTable::pipeline(const Run& run, const RankGrid& grid,
                                            std::size_t column) {
  const PipelineKey key = {run.parallel.tensor,
                           run.parallel.pipeline,
                           run.parallel.context,
                           run.parallel.experts.degree,
                           run.training.micro_batch,
                           static_cast<std::int64_t>(run.training.recompute),
                           run.parallel.virtual_stages,
                           static_cast<std::int64_t>(run.placement()),
                           run.parallel.zero == 3 ? 1 : 0,
                           static_cast<std::int64_t>(column),
                           run.num_gpus(),
                           1};
  if (key == last_key_) {
    return last_;
  }
  last_key_ = key;
  const RankColumn& ranks = grid.columns[column];
  const std::int64_t stage_of_head =
      run.placement() == ChunkPlacement::v_shape ? 0 : run.parallel.pipeline - 1;
  PipelineMaker(run, ranks, last_).make([&](std::size_t stage) -> const Blocks& {
    return blocks_.blocks(run, grid.layout, ranks.ranks[stage], ranks.views[stage], stage_of_head);
  });
  return last_;
}

}  // namespace foretrain
