// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/pipeline.hpp"

#include <algorithm>
#include <string>

namespace foretrain::trainer {

std::size_t most_in_flight(const std::vector<Slot>& slots) {
  std::size_t now = 0;
  std::size_t most = 0;
  for (const Slot& slot : slots) {
    if (slot.kind == SlotKind::forward) {
      most = std::max(most, ++now);
    } else {
      --now;
    }
  }
  return most;
}

PipelineTransfer::PipelineTransfer(Device& device, World& world, const Plan& plan,
                                   const Place& place)
    : device_(device),
      is_blocking_(plan.parallel.blocking_sends.value_or(plan.stack.blocking_sends)) {
  // The pair of stages that meet between `stage` and the next one, in one direction.
  const auto join = [&](Way& way, int stage, bool is_forward, const char* stream) {
    if (stage < 0 || stage + 1 >= plan.pipeline()) {
      return;
    }
    const int before = plan.rank_at({place.tensor, place.data, stage});
    const int after = plan.rank_at({place.tensor, place.data, stage + 1});
    way.pair = world.group({before, after}, std::string("pipeline ") +
                                                (is_forward ? "activations " : "gradients ") +
                                                std::to_string(before));
    way.peer = 1 - way.pair->rank();
    way.stream = device.add_stream(stream);
  };
  // Ranks join groups in one order, so that no two wait for one another.
  for (int stage = 0; stage + 1 < plan.pipeline(); ++stage) {
    if (stage == place.pipeline - 1) {
      join(from_previous_, stage, true, "receive activation");
      join(to_previous_, stage, false, "send gradient");
    } else if (stage == place.pipeline) {
      join(to_next_, stage, true, "send activation");
      join(from_next_, stage, false, "receive gradient");
    }
  }
}

void PipelineTransfer::ask(Way& way, const Tensor& tensor) {
  if (way.pair == nullptr) {
    return;
  }
  device_.wait(way.stream, device_.record(kCompute));
  const SpanScope span(device_, way.stream, "receive");
  way.pair->receive(way.stream, tensor, way.peer);
}

// The memory of the gradient before last, which may still be on its way to the stage before.
void PipelineTransfer::ask_gradient(const Tensor& tensor) {
  const std::size_t order = gradients_++;
  const bool is_last_stage = from_next_.pair == nullptr;
  if (to_previous_.pair != nullptr && order >= 2) {
    device_.wait(is_last_stage ? kCompute : from_next_.stream, to_previous_.sent[order % 2]);
  }
  ask(from_next_, tensor);
}

void PipelineTransfer::receive(Way& way) {
  if (way.pair != nullptr) {
    device_.wait(kCompute, device_.record(way.stream));
  }
}

void PipelineTransfer::send(Way& way, const Tensor& tensor) {
  if (way.pair == nullptr) {
    return;
  }
  device_.wait(way.stream, device_.record(kCompute));
  const SpanScope span(device_, way.stream, "send");
  way.pair->send(way.stream, tensor, way.peer);
  Event& sent = way.sent[way.count++ % 2];
  sent = device_.record(way.stream);
  if (is_blocking_) {
    device_.wait(kCompute, sent);
  }
}

}  // namespace foretrain::trainer
