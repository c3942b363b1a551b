// The layouts that a search chooses among: every combination of degrees, micro-batch, schedule,
// chunks, recomputation, ZeRO stage and offloading of a run on a number of GPUs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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
  [[nodiscard]] bool operator==(const LayoutChoice&) const = default;
};

/// On one line: "tensor 8  pipeline 4 x3  data 128 ...".
[[nodiscard]] std::string text_of(const LayoutChoice& layout);
/// For a column of a table: "t8 p4x5 d16 mb1 zero1 full".
[[nodiscard]] std::string short_text_of(const LayoutChoice& layout);

/// Why a run may not be laid out so.
struct Inadmissible {
  std::string key;  ///< that the first check which refuses points at
  std::string message;
};

/// What a search may choose of one key, where the user left fewer values than there are.
struct FixedChoices {
  std::map<std::string, std::vector<std::int64_t>, std::less<>> numbers;  ///< "parallel.tensor"
  std::optional<std::vector<std::string>> schedules;
  std::optional<std::vector<Recompute>> recomputes;
  std::optional<std::vector<OffloadChoice>> offloads;

  std::vector<std::string> assignments;  ///< as the user wrote them

  [[nodiscard]] bool allows(std::string_view key, std::int64_t value) const;
};
/// Reads assignments such as "parallel.tensor=8", "parallel.tensor=[4, 8]" or
/// "training.recompute=full". Throws ConfigError for a key that is not searched.
[[nodiscard]] FixedChoices read_fixed(config::Sources& sources,
                                      const std::vector<std::string>& assignments);

/// A run whose layout is open, and which layouts there are.
class SearchSpace {
 public:
  /// Loads what the file names, and checks nothing of its layout. Throws ConfigError.
  SearchSpace(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
              const std::string& directory, FixedChoices fixed = {});
  /// Of a run that needs no files: `file` says where its keys stand.
  SearchSpace(RunFile file, Run base, FixedChoices fixed = {});

  /// What stays as it is; its layout is open.
  [[nodiscard]] const Run& base() const { return base_; }
  [[nodiscard]] const RunFile& file() const { return file_; }

  /// Every layout on so many GPUs, in a fixed order: data parallelism is what is left of the GPUs,
  /// and has to divide the global batch.
  void for_each(std::int64_t gpus, const std::function<void(const LayoutChoice&)>& visit) const;
  /// Whether the user's choices leave this layout in the space.
  [[nodiscard]] bool allows(const LayoutChoice& layout) const;
  /// Lays out a copy of base(), unchecked. The same `run` may be laid out again and again.
  void lay_out(const LayoutChoice& layout, Run& run) const;
  [[nodiscard]] Run run_in(const LayoutChoice& layout) const;
  [[nodiscard]] std::optional<Inadmissible> why_not(const Run& run) const;
  /// The assignments that turn the run file into this layout, as --set takes them.
  [[nodiscard]] std::vector<std::string> sets_of(const LayoutChoice& layout) const;
  /// What is varied, between which limits, line by line.
  [[nodiscard]] std::vector<std::string> describe() const;

 private:
  void check_base() const;
  [[nodiscard]] const Variation& variation_of(Run& run) const;

  RunFile file_;
  Run base_;
  FixedChoices fixed_;
  bool can_offload_ = false;
  /// Where the GPUs and links of [variation] are, by number of GPUs and whether hosts take part.
  mutable std::map<std::pair<std::int64_t, bool>, Variation> variations_;
};

}  // namespace foretrain
