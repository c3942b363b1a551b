// The bound that looks at a few stages and no single pass. A stage's compute stream does all its
// passes one after the other; it cannot begin before the first micro-batch has come through the
// places before it, and after its last gradient all places before it have that one's backward to
// do.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "sim/study/search/bounds.hpp"

namespace foretrain {
namespace {

/// A stage's slots added up.
class StageWork {
 public:
  StageWork(const LaidOutRun& laid_out, const PipelineTimes& pipeline, const StageOrder& order,
            const StageEnd& end, std::size_t stage)
      : laid_out_(laid_out), pipeline_(pipeline), order_(order), end_(end), stage_(stage) {}

  [[nodiscard]] Seconds all() const {
    Seconds sum(0);
    for (std::size_t c = 0; c < order_.counts.size(); ++c) {
      const ChunkTimes& chunk = at(c);
      const auto& [forwards, backwards, inputs, weights] = order_.counts[c];
      sum += static_cast<double>(forwards) * (chunk.host + time(chunk.forward)) +
             static_cast<double>(backwards) * time(chunk.backward) +
             static_cast<double>(inputs) * time(chunk.input_gradient) +
             static_cast<double>(weights) * time(chunk.weight_gradient);
    }
    return sum + gathers();
  }
  [[nodiscard]] Seconds weight_gradients(const std::vector<std::int32_t>& counts) const {
    Seconds sum(0);
    for (std::size_t c = 0; c < counts.size(); ++c) {
      sum += static_cast<double>(counts[c]) * time(at(c).weight_gradient);
    }
    return sum;
  }
  [[nodiscard]] const ChunkTimes& at(std::size_t chunk) const {
    return pipeline_.at(stage_, static_cast<std::int32_t>(chunk));
  }

 private:
  // Of two passes in turn only the kernels are sure to keep the stream busy.
  [[nodiscard]] Seconds time(const PassTime& pass) const {
    return order_.has_pairs ? pass.kernels : pass.stream;
  }
  [[nodiscard]] Seconds gathers() const {
    const DataPasses& passes = laid_out_.passes;
    Seconds sum(0);
    if (laid_out_.has_gathers && !order_.has_pairs) {
      const double chunks_per_pass =
          laid_out_.schedule.placement == ChunkPlacement::both_ways ? 0.5 : 1;
      for (std::size_t c = 0; c < order_.counts.size(); ++c) {
        sum +=
            chunks_per_pass * (passes.forward_gathers * serial_gather(laid_out_, end_, c, true) +
                               passes.backward_gathers * serial_gather(laid_out_, end_, c, false));
      }
    }
    return sum;
  }

  const LaidOutRun& laid_out_;
  const PipelineTimes& pipeline_;
  const StageOrder& order_;
  const StageEnd& end_;
  std::size_t stage_;
};

/// The stages that are looked at: both ends, and the one with most to do.
std::vector<std::size_t> looked_at(const PipelineTimes& pipeline) {
  std::vector<std::size_t> stages = {0};
  if (pipeline.stages > 1) {
    stages.push_back(pipeline.stages - 1);
  }
  std::size_t busiest = 0;
  Seconds most(-1);
  for (std::size_t stage = 0; stage < pipeline.stages; ++stage) {
    Seconds work(0);
    for (std::size_t c = 0; c < pipeline.chunks_per_stage; ++c) {
      const ChunkTimes& chunk = pipeline.chunks[c + stage * pipeline.chunks_per_stage];
      work += chunk.forward.stream + chunk.backward.stream;
    }
    if (work > most) {
      most = work;
      busiest = stage;
    }
  }
  if (std::find(stages.begin(), stages.end(), busiest) == stages.end()) {
    stages.push_back(busiest);
  }
  return stages;
}

Bytes least_memory(const LaidOutRun& laid_out, const PipelineTimes& pipeline,
                   const StageOrder& order, const StageEnd& end, std::size_t stage) {
  const ChunkTimes& first = pipeline.at(stage, 0);
  Bytes kept = first.kept;
  Bytes transient = std::max(first.made_again, gathered_bytes(laid_out, first));
  for (std::size_t c = 1; c < pipeline.chunks_per_stage; ++c) {
    const ChunkTimes& chunk = pipeline.at(stage, static_cast<std::int32_t>(c));
    kept = std::min(kept, chunk.kept);
    transient = std::min(transient, std::max(chunk.made_again, gathered_bytes(laid_out, chunk)));
  }
  const Bytes comes_and_goes = static_cast<double>(order.most_in_flight) * kept + transient;
  return end.resident + (1 + end.slack) * comes_and_goes;
}

/// Computing, in the mean over the stages. The gaps between layers are the host's.
Seconds mean_busy(const LaidOutRun& laid_out, const PipelineTimes& pipeline) {
  const double lanes = static_cast<double>(pipeline.lanes.size());
  const double micro_batches = static_cast<double>(laid_out.shape.micro_batches) / lanes;
  Seconds sum(0);
  for (const ChunkTimes& chunk : pipeline.chunks) {
    sum += micro_batches * (chunk.forward.kernels +
                            std::min(chunk.backward.kernels,
                                     chunk.input_gradient.kernels + chunk.weight_gradient.kernels));
  }
  constexpr double kMostGaps = 4;  // forward, both halves of backward, recomputation
  const Seconds gaps = kMostGaps * micro_batches * lanes *
                       static_cast<double>(laid_out.run.model.layers) *
                       laid_out.run.stack.host_per_layer.value;
  return std::max(Seconds(0), sum - gaps) / static_cast<double>(pipeline.stages);
}

/// A stage that is looked at.
struct Looked {
  const StageOrder* order = nullptr;
  EndedStage ended;
  Seconds trailing;  // weight gradients after its last gradient
};

class QuickBound {
 public:
  QuickBound(const LaidOutRun& laid_out, const PipelineTimes& pipeline)
      : laid_out_(laid_out), pipeline_(pipeline) {}

  void look_at(std::size_t stage, const StageOrder& order, const StageEnd& end) {
    const StageWork work(laid_out_, pipeline_, order, end, stage);
    const Seconds leading = work.weight_gradients(order.leading);
    const Seconds rest = work.all() - leading;
    Seconds begin = pipeline_.until_forward[index_of(stage, order.first_chunk)];
    if (laid_out_.is_slanted) {
      begin = std::max(begin, leading + slanted_update(end, laid_out_.passes));
    }
    Looked looked;
    looked.order = &order;
    looked.trailing = work.weight_gradients(order.trailing);
    looked.ended.stage = stage;
    looked.ended.end = &end;
    looked.ended.slots_end = std::max(begin + rest, after_first_gathers(work, end, rest));
    looked_.push_back(looked);
    memory_ = std::max(memory_, least_memory(laid_out_, pipeline_, order, end, stage));
  }

  [[nodiscard]] LayoutBound bound() {
    bring_gradients_back();
    std::vector<EndedStage> ended;
    for (Looked& looked : looked_) {
      add_gradients(looked);
      ended.push_back(looked.ended);
    }
    return {finish(laid_out_.run, laid_out_.passes, laid_out_.is_slanted, ended), memory_,
            mean_busy(laid_out_, pipeline_)};
  }

 private:
  [[nodiscard]] std::size_t index_of(std::size_t stage, std::int32_t chunk) const {
    return static_cast<std::size_t>(chunk) + stage * pipeline_.chunks_per_stage;
  }

  // The last block of the first forward waits until everything of its chunk has been gathered.
  [[nodiscard]] Seconds after_first_gathers(const StageWork& work, const StageEnd& end,
                                            Seconds rest) const {
    if (laid_out_.passes.forward_gathers == 0 || pipeline_.chunks_per_stage > 1 ||
        laid_out_.is_slanted) {
      return Seconds(0);
    }
    const ChunkTimes& chunk = work.at(0);
    return end.dense.gathers + rest - chunk.host - chunk.forward.stream -
           serial_gather(laid_out_, end, 0, true) + chunk.last_forward;
  }

  // After the last gradient of a stage all places before it still have that one to pass on, and
  // where it ends weight gradients may wait.
  void bring_gradients_back() {
    std::vector<std::pair<std::size_t, Seconds>> arrivals;
    for (const Looked& looked : looked_) {
      const std::int32_t chunk = looked.order->last_gradient;
      const std::size_t lane =
          pipeline_.lanes.size() > 1 ? static_cast<std::size_t>(chunk) : std::size_t{0};
      arrivals.emplace_back(pipeline_.lanes[lane].front() / pipeline_.chunks_per_stage,
                            looked.ended.slots_end - looked.trailing +
                                pipeline_.after_gradient[index_of(looked.ended.stage, chunk)]);
    }
    for (Looked& looked : looked_) {
      for (const auto& [stage, time] : arrivals) {
        if (stage == looked.ended.stage) {
          looked.ended.slots_end = std::max(looked.ended.slots_end, time + looked.trailing);
        }
      }
    }
  }

  // Of the chunk that is ready last; sums of the others may be over by then.
  void add_gradients(Looked& looked) const {
    const StageOrder& order = *looked.order;
    const ChunkTimes& chunk = pipeline_.at(looked.ended.stage, order.final_chunk);
    const bool is_split = order.is_final_split;
    const Seconds final_slot = is_split ? chunk.weight_gradient.stream : chunk.backward.stream;
    const auto c = static_cast<std::size_t>(order.final_chunk);
    const StageEnd& end = *looked.ended.end;
    looked.ended.late.push_back({looked.ended.slots_end - final_slot -
                                     serial_gather(laid_out_, end, c, false) +
                                     (is_split ? Seconds(0) : chunk.first_gradients),
                                 end.dense.chunks[c].sum, Seconds(0)});
    looked.ended.last_dense = last_sum(end.dense, c, is_split);
    if (!end.experts.chunks.empty()) {
      looked.ended.late.back().experts = end.experts.chunks[c].sum;
      looked.ended.last_experts = last_sum(end.experts, c, is_split);
    }
  }

  const LaidOutRun& laid_out_;
  const PipelineTimes& pipeline_;
  std::vector<Looked> looked_;
  Bytes memory_;
};

}  // namespace

LayoutBound LayoutBounds::quick_of(const LaidOutRun& laid_out, std::size_t column) {
  const PipelineTimes& pipeline = table_.pipeline(laid_out.run, laid_out.grid, column);
  QuickBound bound(laid_out, pipeline);
  for (const std::size_t stage : looked_at(pipeline)) {
    bound.look_at(
        stage, orders_.order(laid_out.schedule, laid_out.shape, static_cast<std::int32_t>(stage)),
        ends_.end(laid_out.run, laid_out.grid, column, static_cast<std::int64_t>(stage)));
  }
  return bound.bound();
}

}  // namespace foretrain
