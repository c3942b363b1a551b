// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/transfer.hpp"

namespace foretrain {

PipelineTransfer::PipelineTransfer(const Run& run, std::int64_t stage, BodyWriter& writer,
                                   TensorParallel& tensor)
    : run_(run),
      writer_(writer),
      wire_(run, writer, WirePlace::pipeline),
      tensor_(tensor),
      placement_(run.placement()),
      shape_(run.pipeline_shape()),
      stage_(static_cast<std::int32_t>(stage)),
      is_blocking_(run.parallel.blocking_sends.value_or(run.stack.blocking_sends)) {
  if (run.parallel.pipeline > 1) {
    add_ways(true, "pipeline");
    if (placement_ != ChunkPlacement::round_robin) {
      add_ways(false, "pipeline back");
    }
  }
}

// Every way has streams and a channel of its own, so that with two stages, where next and previous
// are the same rank, one message is not taken for another.
void PipelineTransfer::add_ways(bool is_up, const std::string& name) {
  const auto add = [&](bool is_to_next, std::uint32_t channel) {
    const char* to = is_to_next ? "next" : "previous";
    const char* from = is_to_next ? "previous" : "next";
    Way way;
    way.send = writer_.add_stream(name + " send " + to);
    way.receive = writer_.add_stream(name + " receive " + from);
    way.to = is_to_next ? kNextStage : kPreviousStage;
    way.from = is_to_next ? kPreviousStage : kNextStage;
    way.channel = channel;
    ways_[channel] = way;
  };
  add(is_up, is_up ? 0 : 2);
  add(!is_up, is_up ? 1 : 3);
}

bool PipelineTransfer::has_neighbour(std::int32_t chunk, bool is_after) const {
  const std::int32_t place = place_of(placement_, shape_, stage_, chunk);
  return is_after ? place + 1 < num_places(placement_, shape_) &&
                        !hands_to_itself(placement_, shape_, stage_, chunk)
                  : place > 0 && !gets_from_itself(placement_, shape_, stage_, chunk);
}

// With sequence parallelism a rank holds 1/t of the activation; with scatter/gather (SC'21, section
// 4.1) it sends 1/t of its copy.
Bytes PipelineTransfer::payload(Bytes stream) const {
  const bool is_shared = run_.parallel.sequence_parallel || run_.stack.scatter_gather;
  return is_shared ? Bytes(std::ceil(stream.value / static_cast<double>(run_.parallel.tensor)))
                   : stream;
}

void PipelineTransfer::receive(Direction direction, std::int32_t chunk, Bytes stream) {
  const bool is_forward = direction == Direction::forward;
  if (!has_neighbour(chunk, !is_forward)) {
    return;
  }
  const Way& from = way(direction, chunk);
  wire_.receive(from.receive, is_forward ? "receive activation" : "receive gradient",
                Recv{from.from, from.channel, payload(stream)});
  writer_.wait(kCompute, writer_.record(from.receive));
  if (run_.stack.scatter_gather && !run_.parallel.sequence_parallel) {
    tensor_.gather(stream);
  }
}

void PipelineTransfer::send(Direction direction, std::int32_t chunk, Bytes stream) {
  const bool is_forward = direction == Direction::forward;
  if (!has_neighbour(chunk, is_forward)) {
    return;
  }
  const Way& to = way(direction, chunk);
  writer_.wait(to.send, writer_.record(kCompute));
  wire_.send(to.send, is_forward ? "send activation" : "send gradient",
             Send{to.to, to.channel, payload(stream)});
  if (is_blocking_) {
    writer_.wait(kCompute, writer_.record(to.send));
  }
}

}  // namespace foretrain
