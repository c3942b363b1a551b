// The gradient of every tensor of the model against finite differences of its loss.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/small_training.hpp"
#include "validation/trainer/stage.hpp"
#include "validation/trainer/text.hpp"

namespace foretrain::trainer {
namespace {

using testing::Folder;
using testing::small_plan;

/// The whole model on one rank, with one micro-batch.
class Lab {
 public:
  explicit Lab(const Plan& plan)
      : plan_(plan),
        device_(cpu_device()),
        world_(gloo_world({0, 1, folder_.path(""), ""}, *device_)),
        group_(world_->group({0}, "alone")),
        tensor_(*device_, *group_, false),
        states_(*device_, plan, {}, stage_units(plan, {}), *group_, *group_, 3),
        stage_(*device_, plan, {}, tensor_, states_, 1) {
    const Text text(generated_text(4096, 1), plan.training.sequence_length, 1);
    std::vector<std::int32_t> tokens;
    std::vector<std::int32_t> targets;
    for (std::int64_t i = 0; i < plan.training.micro_batch; ++i) {
      const auto sample = text.sample(1, i);
      tokens.insert(tokens.end(), sample.begin(), sample.end() - 1);
      targets.insert(targets.end(), sample.begin() + 1, sample.end());
    }
    tokens_ = device_->allocate(plan.tokens(), Type::int32, MemoryClass::buffers);
    targets_ = device_->allocate(plan.tokens(), Type::int32, MemoryClass::buffers);
    device_->upload(tokens_, tokens.data());
    device_->upload(targets_, targets.data());
  }

  [[nodiscard]] double loss() {
    states_.begin_step();
    stage_.begin_step();
    stage_.forward(0, tokens_, targets_);
    stage_.backward(0, tokens_, targets_, 1.0F / static_cast<float>(plan_.tokens()), true);
    states_.finish_gradients();
    std::vector<float> losses(static_cast<std::size_t>(plan_.tokens()));
    device_->download(losses.data(), stage_.losses());
    return std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(plan_.tokens());
  }
  [[nodiscard]] std::vector<float> gradient(std::size_t unit, std::size_t part) {
    const Tensor tensor = states_.gradient(unit, part);
    std::vector<float> values(static_cast<std::size_t>(tensor.count));
    device_->download(values.data(), tensor);
    return values;
  }
  // The processor's memory is the host's.
  [[nodiscard]] float* parameter(std::size_t unit, std::size_t part) {
    return states_.parameter(unit, part).as<float>();
  }

 private:
  const Plan& plan_;
  Folder folder_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<World> world_;
  std::unique_ptr<Communicator> group_;
  TensorParallel tensor_;
  DataParallel states_;
  Stage stage_;
  Memory tokens_;
  Memory targets_;
};

// Half along the gradient, which makes the difference large, half across it.
std::vector<double> direction(const std::vector<float>& gradient) {
  double squares = 0;
  for (const float value : gradient) {
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  const double length = std::sqrt(squares);
  const double across = 1 / std::sqrt(static_cast<double>(gradient.size()));
  std::vector<double> result;
  result.reserve(gradient.size());
  for (std::size_t i = 0; i < gradient.size(); ++i) {
    const double sign = i * 2654435761U % 7 < 3 ? -across : across;
    result.push_back(static_cast<double>(gradient[i]) / length + sign);
  }
  return result;
}

TEST_CASE("the gradient of every tensor is the slope of the loss", "[trainer]") {
  const Plan plan = small_plan(1, {"model.layers=2"});
  Lab lab(plan);
  const std::vector<Unit> units = stage_units(plan, {});
  constexpr double kStep = 4e-3;
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    for (std::size_t part = 0; part < units[unit].parameters.size(); ++part) {
      INFO(units[unit].parameters[part].name);
      (void)lab.loss();
      const std::vector<float> gradient = lab.gradient(unit, part);
      const std::vector<double> along = direction(gradient);
      float* const values = lab.parameter(unit, part);
      const std::vector<float> before(values, values + gradient.size());
      const auto loss_at = [&](double distance) {
        for (std::size_t i = 0; i < before.size(); ++i) {
          values[i] = before[i] + static_cast<float>(distance * along[i]);
        }
        return lab.loss();
      };
      const double slope = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
      (void)loss_at(0);
      double expected = 0;
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        expected += static_cast<double>(gradient[i]) * along[i];
      }
      // The loss is known to about 1e-6 of itself: 5e-6 / 8e-3 of the slope.
      CHECK_THAT(slope, Catch::Matchers::WithinRel(expected, 0.02) ||
                            Catch::Matchers::WithinAbs(expected, 1e-3));
    }
  }
}

}  // namespace
}  // namespace foretrain::trainer
