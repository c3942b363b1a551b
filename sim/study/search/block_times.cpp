// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/block_times.hpp"

#include <algorithm>
#include <cmath>

#include "strategies/parallel/activation_offload.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/tensor.hpp"
#include "strategies/recompute/recompute.hpp"

namespace foretrain {
namespace {

/// Writes the passes of blocks one by one, as stage_body.cpp does, and times them.
class Timing {
 public:
  Timing(LeastCosts& costs, const Run& run, const Layout& layout, const RankPlace& place)
      : costs_(costs), run_(run), layout_(layout), place_(place) {}

  /// What `write` writes with a TensorParallel into the compute stream, and `gap` before it.
  template <class Write>
  PassTime time(Write write, Seconds gap = Seconds(0)) const {
    ProgramBuilder builder;
    BodyWriter writer(builder, "block");
    writer.launch_time(run_.stack.host_per_kernel.value);
    TensorParallel tensor(run_, writer);
    ContextParallel context(run_, writer);
    ExpertParallel experts(run_, writer);
    tensor.set_context(&context);
    tensor.set_experts(&experts);
    write(tensor, writer);
    const Body body = writer.take();
    PassTime time = costs_.compute_time(run_, layout_, place_, body, builder.program);
    time.stream += gap;
    time.kernels += gap;
    return time;
  }

  PassTime steps(const std::vector<Step>& steps, const Work& work, Direction direction,
                 Seconds gap = Seconds(0)) const {
    return time([&](TensorParallel& tensor,
                    BodyWriter&) { tensor.write(steps, direction, stream_bytes(run_, work)); },
                gap);
  }

  // With its gradients joining the sum of the step.
  PassTime and_accumulate(const std::vector<Step>& steps, const Work& work, Seconds gap) const {
    return time(
        [&](TensorParallel& tensor, BodyWriter& writer) {
          tensor.write(steps, Direction::backward, stream_bytes(run_, work));
          accumulate(work, writer);
        },
        gap);
  }

  PassTime arrival(Bytes stream) const {
    return time([&](TensorParallel& tensor, BodyWriter&) { tensor.gather(stream); });
  }

 private:
  // As StageData::accumulate().
  void accumulate(const Work& work, BodyWriter& writer) const {
    const bool is_separate = run_.stack.accumulation == Accumulation::separate_16_bit ||
                             run_.stack.accumulation == Accumulation::separate_fp32;
    if (is_separate && work.trained() > 0) {
      const double bytes = 2 + 2 * gradient_size(run_).value;
      writer.kernel(
          "accumulate gradients",
          MemoryBound{MemoryOp::streaming, Bytes(bytes * static_cast<double>(work.trained()))});
    }
  }

  LeastCosts& costs_;
  const Run& run_;
  const Layout& layout_;
  const RankPlace& place_;
};

double gathered_of(const Run& run, const Work& work) {
  const std::int64_t elsewhere = has_expert_grid(run) ? work.expert_parameters : 0;
  return static_cast<double>(gather_unit(run, work, work.parameters - elsewhere).gathered());
}

Bytes on_device(const ActivationOffload& offload, Bytes kept) {
  return kept - offload.part_of(kept);
}

BlockTimes layer_times(const Run& run, const LayerShape& layer, const Timing& timing) {
  const Seconds gap = run.stack.host_per_layer.value;
  BlockTimes block;
  block.forward = timing.steps(layer.work.forward, layer.work, Direction::forward, gap);
  block.is_trained_through = !layer.work.backward.empty();
  if (block.is_trained_through) {
    block.backward = timing.and_accumulate(layer.work.backward, layer.work, 2.0 * gap);
    block.input_gradient =
        timing.steps(layer.split.input_gradient, layer.work, Direction::backward, gap);
    // Its launches come twice where the whole layer runs again.
    const bool is_full = run.training.recompute == Recompute::full;
    block.again =
        timing.steps(layer.recomputed, layer.work, Direction::forward, is_full ? gap : Seconds(0));
  }
  block.weight_gradient = timing.and_accumulate(layer.split.weight_gradient, layer.work, gap);
  block.gathered = gathered_of(run, layer.work);
  ProgramBuilder builder;
  BodyWriter writer(builder, "sizes");
  const ActivationOffload offload(run, writer);
  block.saved = on_device(offload, layer.saved);
  block.kept = on_device(offload, layer.kept);
  block.made_again = layer.saved - std::min(layer.kept, layer.saved);
  block.stored = layer.split.stored;
  block.stream = stream_bytes(run, layer.work);
  return block;
}

BlockTimes embedding_times(const Run& run, const Work& work, const Timing& timing) {
  BlockTimes block;
  block.forward = timing.steps(work.forward, work, Direction::forward);
  block.backward = timing.and_accumulate(work.backward, work, Seconds(0));
  block.input_gradient = block.backward;  // nothing of it is put off
  block.gathered = gathered_of(run, work);
  block.saved = saved_bytes(work);
  block.kept = block.saved;
  block.stream = stream_bytes(run, work);
  return block;
}

BlockTimes head_times(const Run& run, const Work& work, const Timing& timing) {
  const SplitBackward split = split_backward(work);
  BlockTimes block;
  block.forward = timing.steps(work.forward, work, Direction::forward);
  block.backward = timing.and_accumulate(work.backward, work, Seconds(0));
  block.input_gradient = timing.steps(split.input_gradient, work, Direction::backward);
  block.weight_gradient = timing.and_accumulate(split.weight_gradient, work, Seconds(0));
  block.gathered = gathered_of(run, work);
  block.saved = saved_bytes(work);
  block.kept = block.saved;
  block.stored = split.stored;
  return block;
}

// How the ranks that share experts lie on the nodes, where tokens go by node.
std::int64_t nodes_of_experts(const Run& run) {
  const bool is_asked =
      has_expert_grid(run) && expert_dispatch(run.stack.expert_dispatch).needs_nodes;
  return is_asked ? experts_on_node(run) : 0;
}

Bytes logits_of(const Work& head) {
  Bytes total;
  for (const SavedTensor& tensor : head.saved) {
    if (tensor.name == "logits" || tensor.name == "gathered_logits") {
      total += tensor.bytes;
    }
  }
  return total;
}

}  // namespace

const Blocks& BlockTable::blocks(const Run& run, const Layout& layout, const RankPlace& place,
                                 std::uint32_t view, std::int64_t stage_of_head) {
  const bool holds_both =
      run.parallel.pipeline == 1 || run.placement() != ChunkPlacement::round_robin;
  const Key key = {run.parallel.tensor,
                   run.parallel.context,
                   run.parallel.experts.degree,
                   run.training.micro_batch,
                   static_cast<std::int64_t>(run.training.recompute),
                   static_cast<std::int64_t>(view),
                   holds_both ? 1 : 0,
                   run.parallel.zero == 3 ? 1 : 0,
                   nodes_of_experts(run)};
  const auto [place_of_key, is_new] = blocks_.try_emplace(key);
  Blocks& blocks = place_of_key->second;
  if (!is_new) {
    return blocks;
  }
  const StageShape shape = stage_shape(run, stage_of_head);
  const Timing timing(costs_, run, layout, place);
  for (const LayerShape& layer : shape.kinds) {
    blocks.layers.push_back(layer_times(run, layer, timing));
  }
  blocks.kind_of_layer = shape.kind_of_layer;
  blocks.embedding = embedding_times(run, shape.embedding, timing);
  blocks.head = head_times(run, shape.head, timing);
  blocks.logits = logits_of(shape.head);
  if (run.stack.scatter_gather && !run.parallel.sequence_parallel) {
    Bytes least = blocks.embedding.stream;
    for (const BlockTimes& layer : blocks.layers) {
      least = std::min(least, layer.stream);
    }
    blocks.arrival = timing.arrival(least).stream;
  }
  return blocks;
}

}  // namespace foretrain
