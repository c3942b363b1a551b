// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

namespace foretrain::trainer {

Trainer::Trainer(Device& device, World& world, const Plan& plan, const Text& text,
                 const TrainerOptions& options)
    : device_(device),
      world_(world),
      plan_(plan),
      text_(text),
      options_(options),
      place_(plan.place_of(world.rank())),
      slots_(plan.slots(place_.pipeline)),
      tensor_group_(group_along(&Place::tensor, "tensor")),
      gradient_group_(group_along(&Place::data, "gradients")),
      parameter_group_(group_along(&Place::data, "parameters")),
      tensor_(device, *tensor_group_, plan.stack.overlap_tensor_parallel),
      states_(device, plan, place_, stage_units(plan, place_), *gradient_group_, *parameter_group_,
              options.seed),
      stage_(device, plan, place_, tensor_, states_, most_in_flight(slots_)),
      transfer_(device, world, plan, place_) {
  std::vector<int> all(static_cast<std::size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  everyone_ = world.group(all, "everyone");
  const std::int64_t count = plan.micro_batches() * plan.tokens();
  tokens_ = device.allocate(count, Type::int32, MemoryClass::buffers);
  targets_ = device.allocate(count, Type::int32, MemoryClass::buffers);
  totals_ = device.allocate(2, Type::fp32, MemoryClass::buffers);
}

// The ranks that differ from this one along one axis only.
std::unique_ptr<Communicator> Trainer::group_along(int Place::*axis, const char* name) {
  std::vector<int> ranks;
  std::string key = name;
  for (int rank = 0; rank < plan_.ranks; ++rank) {
    Place other = plan_.place_of(rank);
    other.*axis = place_.*axis;
    if (plan_.rank_at(other) == world_.rank()) {
      ranks.push_back(rank);
    }
  }
  key += " of " + std::to_string(ranks.front());
  return world_.group(ranks, key);
}

StepResult Trainer::step() {
  ++steps_;
  load_samples();
  states_.begin_step();
  stage_.begin_step();
  backwards_ = 0;
  ask_for(slots_.front());
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const auto micro_batch = static_cast<std::size_t>(slots_[i].micro_batch);
    if (slots_[i].kind == SlotKind::forward) {
      forward(micro_batch);
    } else {
      backward(micro_batch);
    }
    if (i + 1 < slots_.size()) {
      ask_for(slots_[i + 1]);
    }
    send(slots_[i]);
  }
  states_.finish_gradients();
  const StepResult result = sum_up();
  AdamW how;
  how.learning_rate = options_.learning_rate;
  how.step = steps_;
  how.gradient_scale =
      static_cast<float>(std::min(1.0, options_.clip / (result.gradient_norm + 1e-6)));
  states_.update(how);
  device_.synchronize();
  return result;
}

// Replica d has the d-th run of the global batch.
void Trainer::load_samples() {
  const std::int64_t micro_batches = plan_.micro_batches();
  const std::int64_t own = micro_batches * plan_.training.micro_batch;
  const std::int64_t sequence = plan_.training.sequence_length;
  std::vector<std::int32_t> tokens;
  std::vector<std::int32_t> targets;
  tokens.reserve(static_cast<std::size_t>(own * sequence));
  targets.reserve(static_cast<std::size_t>(own * sequence));
  for (std::int64_t i = 0; i < own; ++i) {
    const std::vector<std::int32_t> sample = text_.sample(steps_, place_.data * own + i);
    tokens.insert(tokens.end(), sample.begin(), sample.end() - 1);
    targets.insert(targets.end(), sample.begin() + 1, sample.end());
  }
  device_.upload(tokens_, tokens.data());
  device_.upload(targets_, targets.data());
}

Tensor Trainer::tokens_of(const Memory& memory, std::size_t micro_batch) const {
  return memory.tensor().part(static_cast<std::int64_t>(micro_batch) * plan_.tokens(),
                              plan_.tokens());
}

void Trainer::ask_for(const Slot& slot) {
  const auto micro_batch = static_cast<std::size_t>(slot.micro_batch);
  if (slot.kind == SlotKind::forward) {
    transfer_.ask_activation(stage_.input(micro_batch));
  } else {
    transfer_.ask_gradient(stage_.gradient(micro_batch));
  }
}

void Trainer::send(const Slot& slot) {
  const auto micro_batch = static_cast<std::size_t>(slot.micro_batch);
  if (slot.kind == SlotKind::forward) {
    transfer_.send_activation(stage_.output(micro_batch));
  } else {
    transfer_.send_gradient(stage_.gradient(micro_batch));
  }
}

void Trainer::forward(std::size_t micro_batch) {
  transfer_.receive_activation();
  stage_.forward(micro_batch, tokens_of(tokens_, micro_batch), tokens_of(targets_, micro_batch));
}

void Trainer::backward(std::size_t micro_batch) {
  const double tokens = static_cast<double>(plan_.training.global_batch) *
                        static_cast<double>(plan_.training.sequence_length);
  transfer_.receive_gradient();
  stage_.backward(micro_batch, tokens_of(tokens_, micro_batch), tokens_of(targets_, micro_batch),
                  static_cast<float>(1 / tokens), ++backwards_ == plan_.micro_batches());
}

StepResult Trainer::sum_up() {
  device_.clear(kCompute, totals_);
  states_.add_sum_of_squares(totals_.tensor().part(0, 1));
  std::array<float, 2> totals{};
  device_.download(totals.data(), totals_);
  if (stage_.is_last() && place_.tensor == 0) {
    std::vector<float> losses(static_cast<std::size_t>(plan_.tokens()));
    device_.download(losses.data(), stage_.losses());
    totals[1] = static_cast<float>(std::accumulate(losses.begin(), losses.end(), 0.0));
  }
  if (world_.size() > 1) {
    device_.upload(totals_, totals.data());
    const SpanScope span(device_, kCompute, "norm all-reduce");
    everyone_->all_reduce(kCompute, totals_, Reduction::sum);
    device_.download(totals.data(), totals_);
  }
  const double tokens = static_cast<double>(plan_.training.global_batch) *
                        static_cast<double>(plan_.training.sequence_length);
  return {static_cast<double>(totals[1]) / tokens, std::sqrt(static_cast<double>(totals[0]))};
}

}  // namespace foretrain::trainer
