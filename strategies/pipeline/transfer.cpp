// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/transfer.hpp"

namespace foretrain {
namespace {

// Each direction is a channel of its own, so that with two stages, where next and previous are the
// same rank, activations and gradients are not taken for one another.
std::uint32_t channel_of(Direction direction) { return direction == Direction::forward ? 0 : 1; }

}  // namespace

PipelineTransfer::PipelineTransfer(const Run& run, BodyWriter& writer, TensorParallel& tensor)
    : run_(run), writer_(writer), wire_(run, writer, WirePlace::pipeline), tensor_(tensor) {
  if (run.parallel.pipeline > 1) {
    forward_ = {writer.add_stream("pipeline send next"),
                writer.add_stream("pipeline receive previous")};
    backward_ = {writer.add_stream("pipeline send previous"),
                 writer.add_stream("pipeline receive next")};
  }
}

// With sequence parallelism a rank holds 1/t of the activation; with scatter/gather (SC'21, section
// 4.1) it sends 1/t of its copy.
Bytes PipelineTransfer::payload(Bytes stream) const {
  const bool is_shared = run_.parallel.sequence_parallel || run_.stack.scatter_gather;
  return is_shared ? Bytes(std::ceil(stream.value / static_cast<double>(run_.parallel.tensor)))
                   : stream;
}

void PipelineTransfer::receive(Direction direction, Bytes stream) {
  const bool is_forward = direction == Direction::forward;
  const Way& streams = way(direction);
  wire_.receive(
      streams.receive, is_forward ? "receive activation" : "receive gradient",
      Recv{is_forward ? kPreviousStage : kNextStage, channel_of(direction), payload(stream)});
  writer_.wait(kCompute, writer_.record(streams.receive));
  if (run_.stack.scatter_gather && !run_.parallel.sequence_parallel) {
    tensor_.gather(stream);
  }
}

void PipelineTransfer::send(Direction direction, Bytes stream) {
  const bool is_forward = direction == Direction::forward;
  const Way& streams = way(direction);
  writer_.wait(streams.send, writer_.record(kCompute));
  wire_.send(
      streams.send, is_forward ? "send activation" : "send gradient",
      Send{is_forward ? kNextStage : kPreviousStage, channel_of(direction), payload(stream)});
  if (run_.stack.blocking_sends) {
    writer_.wait(kCompute, writer_.record(streams.send));
  }
}

}  // namespace foretrain
