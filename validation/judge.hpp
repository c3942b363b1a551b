// Holds the prediction of a case against what was measured.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "strategies/plan.hpp"
#include "validation/case.hpp"

namespace foretrain::validation {

/// A measured time beside the predicted one and that of "half of peak", in seconds.
struct TimeResult {
  double measured = 0;
  double predicted = 0;
  double naive = 0;
  [[nodiscard]] double error() const { return predicted / measured - 1; }
  [[nodiscard]] double naive_error() const { return naive / measured - 1; }
};

/// A measured peak of device memory beside the predicted one, in bytes; without the CUDA context
/// where the measurement is of the allocator.
struct MemoryResult {
  double measured = 0;
  double predicted = 0;
  bool is_allocator = true;
  [[nodiscard]] double error() const { return predicted / measured - 1; }
};

/// Whether a run fits, as measured, beside the predicted peak as a share of the capacity.
struct FitResult {
  bool fits = true;
  double share = 0;
};

/// What came of one case; a refused one has a reason and no results.
struct Outcome {
  std::string id;
  std::string group;
  std::string sweep;
  std::string quality;
  std::string source;
  std::string notes;
  std::string kind;  ///< of run: kind_of()
  double gpus = 0;
  double tokens_per_step = 0;
  std::optional<TimeResult> time;
  bool is_layer_time = false;  ///< of one layer and micro-batch, not of a step
  std::optional<MemoryResult> memory;
  std::optional<FitResult> fit;
  std::string refusal;
};

/// Assignments for the cases of one group, as for --set.
struct GroupOverrides {
  std::string group;
  std::vector<std::string> sets;
};

/// Reads a file of overrides: for each group a list of assignments, such as those that leave out
/// what was fitted on that group. Throws ConfigError.
[[nodiscard]] std::vector<GroupOverrides> load_overrides(config::Sources& sources,
                                                         const std::string& path);

struct JudgeOptions {
  Catalogue catalogue;
  std::vector<std::string> sets;          ///< applied to every case
  std::vector<GroupOverrides> overrides;  ///< applied to the cases of a group, after `sets`
};

/// Resolves and simulates one case. A mistake in the case, or a run that cannot be simulated,
/// becomes the refusal of the outcome. Simulates in this process.
[[nodiscard]] Outcome judge(const Case& one, const JudgeOptions& options);

/// The kind of run whose errors are alike: how it is parallelised, how mature its kernels are, in
/// which precision it computes.
[[nodiscard]] std::string kind_of(const Run& run);

/// The group that a case's [measured] table names, or "".
[[nodiscard]] std::string group_of(const config::Value& tree);

/// One line of JSON, and back, to pass an outcome between processes.
[[nodiscard]] std::string to_json_line(const Outcome& outcome);
[[nodiscard]] Outcome outcome_from_json(const std::string& line);

}  // namespace foretrain::validation
