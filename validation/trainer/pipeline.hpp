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

  /// Messages set out for memory that compute is done with. They are asked for before anything
  /// waits for a send: stages that send to one another would otherwise wait for ever.
  void ask_activation(const Tensor& tensor) { ask(from_previous_, tensor); }
  void ask_gradient(const Tensor& tensor);  ///< for every backward, whoever makes the gradient
  /// Compute waits for what was asked for.
  void receive_activation() { receive(from_previous_); }
  void receive_gradient() { receive(from_next_); }
  void send_activation(const Tensor& tensor) { send(to_next_, tensor); }
  void send_gradient(const Tensor& tensor) { send(to_previous_, tensor); }

 private:
  struct Way {
    std::unique_ptr<Communicator> pair;  // null at the ends of the pipeline
    Stream stream;
    int peer = 0;
    std::array<Event, 2> sent;  // by turns
    std::size_t count = 0;      // of what was sent
  };
  void ask(Way& way, const Tensor& tensor);
  void receive(Way& way);
  void send(Way& way, const Tensor& tensor);

  Device& device_;
  bool is_blocking_;
  Way to_next_;
  Way from_previous_;
  Way to_previous_;
  Way from_next_;
  std::size_t gradients_ = 0;  // that backward was about to be made of
};

}  // namespace foretrain::trainer
