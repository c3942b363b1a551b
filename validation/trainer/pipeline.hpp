// The order of a step on one stage, and what travels between stages: the simulator's own schedules,
// replayed for real.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/stage.hpp"

namespace foretrain::trainer {

/// Micro-batches that are between forward and backward at a time, at most.
[[nodiscard]] std::size_t most_in_flight(const std::vector<Slot>& slots);

/// Activations go to the next stage and gradients to the one before, each way on a stream and a
/// communicator of two of its own.
class PipelineTransfer {
 public:
  PipelineTransfer(Device& device, World& world, const Plan& plan, const Place& place);

  void receive_activation(const Tensor& tensor) { receive(from_previous_, tensor); }
  void send_activation(const Tensor& tensor) { send(to_next_, tensor); }
  void receive_gradient(const Tensor& tensor) { receive(from_next_, tensor); }
  void send_gradient(const Tensor& tensor) { send(to_previous_, tensor); }
  /// Compute waits until the gradient before last, whose buffer comes next, was sent.
  void free_gradient();

 private:
  struct Way {
    std::unique_ptr<Communicator> pair;  // null at the ends of the pipeline
    Stream stream;
    int peer = 0;
    std::array<Event, 2> sent;  // by turns
    std::size_t count = 0;      // of what was sent
  };
  void receive(Way& way, const Tensor& tensor);
  void send(Way& way, const Tensor& tensor);

  Device& device_;
  bool is_blocking_;
  Way to_next_;
  Way from_previous_;
  Way to_previous_;
  Way from_next_;
};

}  // namespace foretrain::trainer
