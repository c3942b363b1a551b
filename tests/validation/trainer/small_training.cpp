// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/small_training.hpp"

#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>
#include <unistd.h>

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

TrainingResult train(const Plan& plan, const Rendezvous& where, int steps) {
  const std::unique_ptr<Device> device = cpu_device();
  const std::unique_ptr<World> world = gloo_world(where, *device);
  TrainerOptions options;
  options.learning_rate = 1e-3F;
  const Text text(generated_text(1 << 16, 7), plan.training.sequence_length, options.seed);
  Trainer trainer(*device, *world, plan, text, options);
  TrainingResult result;
  for (int step = 0; step < steps; ++step) {
    const StepResult one = trainer.step();
    result.losses.push_back(one.loss);
    result.norms.push_back(one.gradient_norm);
  }
  return result;
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
  const Folder folder;
  const auto count = static_cast<std::size_t>(ranks);
  std::vector<TrainingResult> results(count);
  std::vector<std::exception_ptr> failures(count);
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (std::size_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        results[rank] = train(plan, {static_cast<int>(rank), ranks, folder.path(""), ""}, steps);
      } catch (...) {
        failures[rank] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
  for (const TrainingResult& result : results) {
    if (result.losses != results.front().losses || result.norms != results.front().norms) {
      throw std::logic_error("ranks report different losses");
    }
  }
  return results.front();
}

}  // namespace foretrain::trainer::testing
