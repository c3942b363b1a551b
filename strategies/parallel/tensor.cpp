// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/tensor.hpp"

#include <algorithm>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

bool is_pass(const Kernel& kernel, GemmPass pass) {
  const auto* gemm = std::get_if<Gemm>(&kernel.shape);
  return gemm != nullptr && gemm->pass == pass && gemm->batch == 1;
}

std::string_view op_name(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_reduce:
      return "tensor all-reduce";
    case CollectiveKind::all_gather:
      return "tensor all-gather";
    case CollectiveKind::reduce_scatter:
      return "tensor reduce-scatter";
    default:
      throw InternalError("tensor parallelism has no such collective");
  }
}

}  // namespace

std::optional<CollectiveKind> boundary_collective(Boundary boundary, Direction direction,
                                                  bool sequence_parallel) {
  // The backward of entering does what the forward of leaving does, and the other way round.
  const bool is_sum =
      (boundary == Boundary::leave_tensor_parallel) == (direction == Direction::forward);
  if (sequence_parallel) {
    return is_sum ? CollectiveKind::reduce_scatter : CollectiveKind::all_gather;
  }
  return is_sum ? std::optional(CollectiveKind::all_reduce) : std::nullopt;
}

TensorParallel::TensorParallel(const Run& run, BodyWriter& writer)
    : run_(run), writer_(writer), wire_(run, writer, WirePlace::tensor) {
  const bool is_overlapping =
      run.stack.overlap_tensor_parallel || run.stack.hidden_tensor_parallel.value > 0;
  if (is_overlapping && run.parallel.tensor > 1) {
    stream_ = writer.add_stream("tensor");
  }
}

void TensorParallel::write(const std::vector<Step>& steps, Direction direction, Bytes stream) {
  sent_ = stream;
  for (auto step = steps.begin(); step != steps.end();) {
    const auto end =
        std::find_if(step, steps.end(), [](const Step& each) { return !each.is_attention_core; });
    if (context_ != nullptr && step != end) {
      context_->write({step, end}, direction);
      step = end;
    } else {
      write_step(*step, direction);
      ++step;
    }
  }
}

void TensorParallel::write_step(const Step& step, Direction direction) {
  if (const auto* boundary = std::get_if<Boundary>(&step.what)) {
    if (*boundary == Boundary::dispatch_experts || *boundary == Boundary::combine_experts) {
      FORETRAIN_ASSERT(experts_ != nullptr, "someone who sends tokens to experts");
      experts_->boundary(*boundary, direction, step.elements);
    } else {
      write_boundary(*boundary, direction);
    }
    return;
  }
  const NameId name = writer_.builder().name(step.name);
  const bool is_held = step.is_beside_experts && experts_ != nullptr && experts_->holds_back();
  std::visit(
      [&](const auto& shape) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(shape)>, Boundary>) {
          is_held ? experts_->hold(Kernel{name, shape}) : writer_.kernel(Kernel{name, shape});
        }
      },
      step.what);
}

void TensorParallel::gather(Bytes stream) {
  if (run_.parallel.tensor > 1) {
    collective(kCompute, CollectiveKind::all_gather, stream);
  }
}

void TensorParallel::write_boundary(Boundary boundary, Direction direction) {
  if (run_.parallel.tensor == 1) {
    return;
  }
  if (boundary == Boundary::gather_logits) {
    gather_logits(direction);
    return;
  }
  if (boundary == Boundary::sum_loss) {
    sum_loss(direction);
    return;
  }
  const auto kind = boundary_collective(boundary, direction, run_.parallel.sequence_parallel);
  const bool is_input_gradient =
      direction == Direction::backward && boundary == Boundary::enter_tensor_parallel;
  if (is_input_gradient && stream_ != kCompute && run_.stack.overlap_tensor_parallel) {
    write_overlapped(*kind);
    return;
  }
  if (kind && stream_ != kCompute && run_.stack.hidden_tensor_parallel.value > 0) {
    write_partly_hidden(*kind, is_input_gradient);
    return;
  }
  if (is_input_gradient && run_.parallel.sequence_parallel) {
    // Only 1/t of the region's input was kept; its weight gradients need all of it again.
    collective(kCompute, CollectiveKind::all_gather);
  }
  if (kind) {
    collective(kCompute, *kind);
  }
}

// The input gradient is summed while the weight gradients of the same linear layer run; with
// sequence parallelism the input is gathered again while the input gradient is computed
// (Korthikanti et al. 2022, section 4.2.2).
void TensorParallel::write_overlapped(CollectiveKind kind) {
  const auto weight_gradients = writer_.take_back_while(
      [](const Kernel& kernel) { return is_pass(kernel, GemmPass::weight_gradient); });
  std::optional<EventId> gathered;
  if (run_.parallel.sequence_parallel) {
    const auto input_gradients = writer_.take_back_while(
        [](const Kernel& kernel) { return is_pass(kernel, GemmPass::input_gradient); });
    writer_.wait(stream_, writer_.record(kCompute));
    collective(stream_, CollectiveKind::all_gather);
    gathered = writer_.record(stream_);
    for (const Kernel& kernel : input_gradients) {
      writer_.kernel(kernel);
    }
  }
  writer_.wait(stream_, writer_.record(kCompute));
  collective(stream_, kind);
  const EventId summed = writer_.record(stream_);
  if (gathered) {
    writer_.wait(kCompute, *gathered);
  }
  for (const Kernel& kernel : weight_gradients) {
    writer_.kernel(kernel);
  }
  writer_.wait(kCompute, summed);
}

// GEMM and collective work on pieces of the tensor in turn (TransformerEngine's user buffers): a
// share of the bytes travels beside the kernels since the last collective, the rest after them.
// With sequence parallelism the input of a weight gradient is gathered again, all of it hidden.
void TensorParallel::write_partly_hidden(CollectiveKind kind, bool is_input_gradient) {
  const double share = run_.stack.hidden_tensor_parallel.value;
  const std::vector<Kernel> beside = writer_.take_back_while([](const Kernel&) { return true; });
  writer_.wait(stream_, writer_.record(kCompute));
  if (is_input_gradient && run_.parallel.sequence_parallel) {
    collective(stream_, CollectiveKind::all_gather);
  }
  collective(stream_, kind, share * sent_);
  for (const Kernel& kernel : beside) {
    writer_.kernel(kernel);
  }
  if (share < 1) {
    writer_.wait(stream_, writer_.record(kCompute));
    collective(stream_, kind, (1 - share) * sent_);
  }
  writer_.wait(kCompute, writer_.record(stream_));
}

void TensorParallel::gather_logits(Direction direction) {
  if (direction == Direction::forward) {
    const Shard shard = shard_of(run_);
    const double logits =
        static_cast<double>(shard.tokens()) *
        static_cast<double>(padded_vocabulary(run_.model.vocabulary, shard.tensor));
    // Never compressed: they are the loss's input.
    writer_.op(kCompute, op_name(CollectiveKind::all_gather),
               Collective{CollectiveKind::all_gather, kTensorGroup,
                          logits * std::max(Bytes(2), size_of(run_.training.precision))});
  }
}

// The loss over a vocabulary that is split: the maximum of every token's logits, and then the sum
// of their exponentials, in fp32 (Shoeybi et al. 2019, section 3).
void TensorParallel::sum_loss(Direction direction) {
  if (direction == Direction::backward) {
    return;
  }
  if (stream_ != kCompute) {
    writer_.wait(stream_, writer_.record(kCompute));
  }
  const Bytes each = static_cast<double>(shard_of(run_).tokens()) * Bytes(4);
  collective(stream_, CollectiveKind::all_reduce, each);
  collective(stream_, CollectiveKind::all_reduce, each);
  if (stream_ != kCompute) {
    writer_.wait(kCompute, writer_.record(stream_));
  }
}

void TensorParallel::collective(StreamIndex stream, CollectiveKind kind) {
  collective(stream, kind, sent_);
}

void TensorParallel::collective(StreamIndex stream, CollectiveKind kind, Bytes payload) {
  wire_.collective(kCompute, stream, op_name(kind), Collective{kind, kTensorGroup, payload});
}

}  // namespace foretrain
