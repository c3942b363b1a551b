// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/small_training.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <unistd.h>

#include "tests/validation/trainer/ranks.hpp"
#include "validation/trainer/trainer.hpp"

namespace foretrain::trainer::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunFile = R"(platform = "unused"
stack = "generic"
[model]
name = "small"
source = "a test"
layers = 4
hidden = 32
heads = 4
vocabulary = 256
mlp = "plain"
norm = "layer_norm"
position = "learned"
max_positions = 16
bias = true
[training]
sequence_length = 16
global_batch = 8
micro_batch = 4
precision = "fp32"
)";

// Loss and norm of every step.
std::vector<float> train(const Plan& plan, const foretrain::testing::RankOfTest& rank, int steps) {
  TrainerOptions options;
  options.learning_rate = 1e-3F;
  const Text text(generated_text(1 << 16, 7), plan.training.sequence_length, options.seed);
  Trainer trainer(rank.device, rank.world, plan, text, options);
  std::vector<float> results;
  for (int step = 0; step < steps; ++step) {
    const StepResult one = trainer.step();
    results.push_back(static_cast<float>(one.loss));
    results.push_back(static_cast<float>(one.gradient_norm));
  }
  return results;
}

}  // namespace

Folder::Folder() {
  static std::atomic<int> count = 0;
  path_ = fs::temp_directory_path() /
          ("foretrain_trainer_" + std::to_string(getpid()) + "_" + std::to_string(count++));
  fs::create_directories(path_);
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Plan small_plan(int ranks, const Assignments& sets) {
  const Folder folder;
  const std::string path = folder.path("run.toml");
  std::ofstream(path) << kRunFile;
  config::Sources sources;
  const std::string root = FORETRAIN_SOURCE_DIR;
  return read_plan(sources, path, sets,
                   {root + "/models", root + "/platforms", root + "/strategies/stacks"}, ranks,
                   Type::fp32);
}

TrainingResult losses_of(int ranks, const Assignments& sets, int steps) {
  const Plan plan = small_plan(ranks, sets);
  const auto of_ranks = foretrain::testing::run_ranks(
      ranks, [&](foretrain::testing::RankOfTest& rank) { return train(plan, rank, steps); });
  for (const std::vector<float>& of_rank : of_ranks) {
    if (of_rank != of_ranks.front()) {
      throw std::logic_error("ranks report different losses");
    }
  }
  TrainingResult result;
  for (std::size_t i = 0; i < of_ranks.front().size(); i += 2) {
    result.losses.push_back(of_ranks.front()[i]);
    result.norms.push_back(of_ranks.front()[i + 1]);
  }
  return result;
}

}  // namespace foretrain::trainer::testing
