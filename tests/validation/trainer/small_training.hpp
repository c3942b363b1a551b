// Trainings of a model that is small enough for a test, with ranks that are threads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "validation/trainer/plan.hpp"

namespace foretrain::trainer::testing {

/// As --set takes them; a bare word is text.
using Assignments = std::vector<std::string>;

/// A new folder, gone with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

struct TrainingResult {
  std::vector<double> losses;
  std::vector<double> norms;
};

/// The plan of the small model: 4 layers, hidden 32, 4 heads, vocabulary 256, sequences of 16,
/// global batch 8 in micro-batches of 4.
[[nodiscard]] Plan small_plan(int ranks, const Assignments& sets);

/// Trains on so many ranks of this process, each with a device of its own, joined by Gloo. Every
/// rank must report the same.
[[nodiscard]] TrainingResult losses_of(int ranks, const Assignments& sets, int steps = 4);

}  // namespace foretrain::trainer::testing
