// SPDX-License-Identifier: Apache-2.0
// A whole training on one GPU beside the same on the processor: bf16 for fp32, all else alike.
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/validation/trainer/cuda/gpu.hpp"
#include "validation/trainer/trainer.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;
using trainer::Stream;

constexpr const char* kRunFile = R"(platform = "unused"
stack = "generic"
[model]
name = "small"
source = "a test"
layers = 2
hidden = 128
heads = 2
vocabulary = 256
mlp = "plain"
norm = "layer_norm"
position = "learned"
max_positions = 48
bias = true
[training]
sequence_length = 48
global_batch = 2
micro_batch = 1
precision = "bf16"
)";

// A world of one rank; it has nobody to talk to.
class LoneGroup final : public Communicator {
 public:
  explicit LoneGroup(Device& device) : Communicator(0, 1), device_(device) {}
  void all_reduce(Stream /*stream*/, const Tensor& /*tensor*/, Reduction /*how*/) override {}
  void all_gather(Stream stream, const Tensor& out, const Tensor& in) override {
    device_.copy(stream, out, in);
  }
  void reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) override {
    device_.copy(stream, out, in);
  }
  void all_to_all(Stream stream, const Tensor& out, const Tensor& in) override {
    device_.copy(stream, out, in);
  }
  void send(Stream /*stream*/, const Tensor& /*tensor*/, int /*peer*/) override {}
  void receive(Stream /*stream*/, const Tensor& /*tensor*/, int /*peer*/) override {}

 private:
  Device& device_;
};

class LoneWorld final : public World {
 public:
  explicit LoneWorld(Device& device) : World(0, 1), device_(device) {}
  [[nodiscard]] std::unique_ptr<Communicator> group(const std::vector<int>& /*ranks*/,
                                                    const std::string& /*name*/) override {
    return std::make_unique<LoneGroup>(device_);
  }
  void barrier() override {}
  [[nodiscard]] double maximum(double value) override { return value; }
  [[nodiscard]] std::string description() const override { return "nobody"; }

 private:
  Device& device_;
};

std::vector<StepResult> train(Device& device, std::vector<std::string> sets) {
  const ScratchFolder folder;
  const std::string path = folder.write("run.toml", kRunFile);
  const std::string root = FORETRAIN_SOURCE_DIR;
  if (device.activation_type() == Type::fp32) {
    sets.emplace_back("training.precision=\"fp32\"");
  }
  config::Sources sources;
  const Plan plan = read_plan(sources, path, sets,
                              {root + "/models", root + "/platforms", root + "/strategies/stacks"},
                              1, device.activation_type());
  TrainerOptions options;
  options.learning_rate = 3e-3F;
  const Text text(generated_text(1 << 14, 7), plan.training.sequence_length, options.seed);
  LoneWorld world(device);
  Trainer trainer(device, world, plan, text, options);
  std::vector<StepResult> steps;
  for (int step = 0; step < 4; ++step) {
    steps.push_back(trainer.step());
  }
  return steps;
}

TEST_CASE("a GPU learns as the processor does", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const std::vector<StepResult> gpu = train(pair->gpu(), {});
  const std::vector<StepResult> cpu = train(pair->cpu(), {});
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    INFO("step " << i + 1);
    // A loss is a mean over many tokens; a norm is of gradients that went through all layers.
    CHECK(gpu[i].loss == Catch::Approx(cpu[i].loss).epsilon(2e-3));
    CHECK(gpu[i].gradient_norm == Catch::Approx(cpu[i].gradient_norm).epsilon(2e-2));
  }
  CHECK(cpu.back().loss < 0.9 * cpu.front().loss);  // there is something to compare
}

TEST_CASE("a GPU that computes activations again gets the same", "[trainer][cuda]") {
  const auto pair = gpu_and_cpu();
  if (pair == nullptr) {
    return;
  }
  const std::vector<StepResult> kept = train(pair->gpu(), {});
  const std::vector<StepResult> again = train(pair->gpu(), {"training.recompute=\"full\""});
  for (std::size_t i = 0; i < kept.size(); ++i) {
    // Gradients of tables are sums in no fixed order (embedding.cu).
    CHECK(again[i].loss == Catch::Approx(kept[i].loss).epsilon(1e-3));
  }
}

}  // namespace
}  // namespace foretrain::testing
