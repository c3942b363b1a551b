// The layouts that a search chooses among: every combination of degrees, micro-batch, schedule,
// chunks, recomputation, ZeRO stage and offloading of a run on a number of GPUs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "strategies/plan.hpp"

namespace foretrain {

enum class OffloadChoice : std::uint8_t { none, optimizer, optimizer_and_parameters };

/// What a search chooses; everything else of the run stays as its file has it.
struct LayoutChoice {
  std::int64_t gpus = 1;
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t context = 1;
  std::int64_t expert = 1;
  std::int64_t micro_batch = 1;
  std::string_view schedule = "1f1b";  ///< a name of the table of schedules
  std::int64_t virtual_stages = 1;
  Recompute recompute = Recompute::none;
  std::int64_t zero = 0;
  OffloadChoice offload = OffloadChoice::none;

  [[nodiscard]] std::int64_t data() const { return gpus / (tensor * pipeline * context); }
  auto operator<=>(const LayoutChoice&) const = default;
};

/// The assignments that turn the run file into this layout: "parallel.tensor=8" and so on.
[[nodiscard]] std::vector<std::string> sets_of(const LayoutChoice& layout, const RunFile& file);
/// On one line: "tensor 8 pipeline 4 x 3 data 128 ...".
[[nodiscard]] std::string text_of(const LayoutChoice& layout);

/// Why a run may not be laid out so; nothing where it may.
struct Inadmissible {
  std::string key;  ///< that the check points at
  std::string message;
};

/// A run whose layout is open, and what a layout has to keep to.
class SearchSpace {
 public:
  /// Loads what the file names, and checks nothing of its layout. `fixed` are assignments like
  /// those of --set of keys that are searched ("parallel.tensor=8"): they leave one value, or, with
  /// a list in brackets ("[4, 8]"), several. Throws ConfigError.
  SearchSpace(RunFile file, config::Sources& sources, const Catalogue& catalogue,
              const std::string& directory, const std::vector<std::string>& fixed = {});

  /// What stays as it is. Its layout means nothing.
  [[nodiscard]] const Run& base() const { return base_; }
  [[nodiscard]] const RunFile& file() const { return file_; }

  /// Calls `visit` for every layout on so many GPUs, in a fixed order, the smaller first.
  void for_each(std::int64_t gpus, const std::function<void(const LayoutChoice&)>& visit) const;
  /// The run in this layout, unchecked.
  [[nodiscard]] Run run_in(const LayoutChoice& layout) const;
  /// The same into a run that this made before, which is faster.
  void lay_out(const LayoutChoice& layout, Run& run) const;
  [[nodiscard]] std::optional<Inadmissible> why_not(const Run& run) const;
  /// What is varied, between which limits, in a few lines.
  [[nodiscard]] std::string describe(const std::vector<std::int64_t>& gpus) const;

 private:
  RunFile file_;
  Run base_;
};

}  // namespace foretrain
