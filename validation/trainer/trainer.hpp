// One rank's training: steps of forward, backward and update in the order of the plan's schedule.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "validation/trainer/pipeline.hpp"
#include "validation/trainer/text.hpp"

namespace foretrain::trainer {

struct StepResult {
  double loss = 0;  ///< mean over the tokens of the global batch, before the update, in nats
  double gradient_norm = 0;  ///< of all parameters, before clipping
};

struct TrainerOptions {
  std::uint64_t seed = 1;
  float learning_rate = 3e-4F;
  double clip = 1;  ///< gradients are scaled down to this norm
};

class Trainer {
 public:
  /// All ranks of the world make one together. The arguments outlive this.
  Trainer(Device& device, World& world, const Plan& plan, const Text& text,
          const TrainerOptions& options);
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Returns when the device is done. All ranks get the same result.
  StepResult step();

 private:
  void load_samples();
  void ask_for(const Slot& slot);
  void forward(std::size_t micro_batch);
  void backward(std::size_t micro_batch);
  void send(const Slot& slot);
  [[nodiscard]] Tensor tokens_of(const Memory& memory, std::size_t micro_batch) const;
  [[nodiscard]] std::unique_ptr<Communicator> group_along(int Place::*axis, const char* name);
  /// Over all ranks: the norm, and the loss.
  [[nodiscard]] StepResult sum_up();

  Device& device_;
  World& world_;
  const Plan& plan_;
  const Text& text_;
  TrainerOptions options_;
  Place place_;
  std::vector<Slot> slots_;
  std::unique_ptr<Communicator> everyone_;
  std::unique_ptr<Communicator> tensor_group_;
  std::unique_ptr<Communicator> gradient_group_;
  std::unique_ptr<Communicator> parameter_group_;
  TensorParallel tensor_;
  DataParallel states_;
  Stage stage_;
  PipelineTransfer transfer_;
  Memory tokens_;   // int32 [micro-batches, N]
  Memory targets_;  // likewise
  Memory totals_;   // fp32 [2]: sum of squared gradients, sum of losses
  std::int64_t steps_ = 0;
  std::int64_t backwards_ = 0;  // of this step
};

}  // namespace foretrain::trainer
