// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/tensor.hpp"

namespace foretrain {
namespace {

bool is_pass(const Kernel& kernel, GemmPass pass) {
  const auto* gemm = std::get_if<Gemm>(&kernel.shape);
  return gemm != nullptr && gemm->pass == pass && gemm->batch == 1;
}

std::string_view name_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_reduce:
      return "tensor all-reduce";
    case CollectiveKind::all_gather:
      return "tensor all-gather";
    case CollectiveKind::reduce_scatter:
      return "tensor reduce-scatter";
  }
  return "";
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

TensorParallel::TensorParallel(const Run& run, BodyWriter& writer) : run_(run), writer_(writer) {
  if (run.stack.overlap_tensor_parallel && run.parallel.tensor > 1) {
    stream_ = writer.add_stream("tensor");
  }
}

void TensorParallel::write(const std::vector<Step>& steps, Direction direction) {
  for (const Step& step : steps) {
    if (const auto* boundary = std::get_if<Boundary>(&step.what)) {
      write_boundary(*boundary, direction);
    } else {
      const NameId name = writer_.builder().name(step.name);
      std::visit(
          [&](const auto& shape) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(shape)>, Boundary>) {
              writer_.kernel(Kernel{name, shape});
            }
          },
          step.what);
    }
  }
}

void TensorParallel::gather() {
  if (run_.parallel.tensor > 1) {
    collective(kCompute, CollectiveKind::all_gather);
  }
}

void TensorParallel::write_boundary(Boundary boundary, Direction direction) {
  if (run_.parallel.tensor == 1) {
    return;
  }
  const auto kind = boundary_collective(boundary, direction, run_.parallel.sequence_parallel);
  const bool is_input_gradient =
      direction == Direction::backward && boundary == Boundary::enter_tensor_parallel;
  if (is_input_gradient && stream_ != kCompute) {
    write_overlapped(*kind);
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

void TensorParallel::collective(StreamIndex stream, CollectiveKind kind) {
  writer_.op(stream, name_of(kind), Collective{kind, kTensorGroup, hidden_state_bytes(run_)});
}

}  // namespace foretrain
