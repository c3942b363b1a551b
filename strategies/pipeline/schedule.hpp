// Pipeline schedules: in which order a stage does the forwards and backwards of its chunks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// Zero-bubble schedules split a backward in two: what the stage before waits for, and the weight
/// gradients, which nobody waits for (Qi et al. 2024, section 2).
enum class SlotKind : std::uint8_t {
  forward,
  backward,         ///< whole
  input_gradient,   ///< B: all of backward but the GEMMs of the weight gradients
  weight_gradient,  ///< W: these GEMMs, and the gradients join their sum
};

/// One pass of one micro-batch through one chunk of a stage's layers.
struct Slot {
  SlotKind kind = SlotKind::forward;
  std::int32_t micro_batch = 0;
  std::int32_t chunk = 0;
  bool operator==(const Slot&) const = default;
};

/// p = stages, v = virtual_stages (chunks of layers per stage), m = micro_batches per step.
struct PipelineShape {
  std::int32_t stages = 1;
  std::int32_t virtual_stages = 1;
  std::int32_t micro_batches = 1;
};

/// The slots of one stage, in order. REQUIRES: the schedule accepts the shape, 0 <= stage < stages.
using ScheduleFunction = std::vector<Slot> (*)(const PipelineShape& shape, std::int32_t stage);
/// Why a schedule cannot run a shape, naming the keys of the run file; nothing when it can.
using AcceptFunction = std::optional<std::string> (*)(const PipelineShape& shape);

/// Whether the stages update their parameters together at the end of the step.
enum class StepEnd : std::uint8_t {
  together,
  /// Each stage updates when its own work is done and goes on with the next step, a forward after
  /// the stage before it; the norm of all gradients is validated afterwards (Qi et al. 2024,
  /// section 4). One step of many alike is then a slanted window: the weight gradients that lead a
  /// stage's slots are the last of the step before, and its update stands behind them.
  stage_by_stage,
};

struct PipelineSchedule {
  std::string_view name;
  std::string_view sentence;
  ScheduleFunction order;
  AcceptFunction refuse;
  StepEnd end = StepEnd::together;
};

/// All schedules; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const PipelineSchedule> pipeline_schedules();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const PipelineSchedule& pipeline_schedule(std::string_view name);

// The implementations, one file each.
[[nodiscard]] std::vector<Slot> gpipe(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> one_f_one_b(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> interleaved_one_f_one_b(const PipelineShape& shape,
                                                        std::int32_t stage);
[[nodiscard]] std::vector<Slot> zb_h1(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> zb_2p(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::optional<std::string> refuse_virtual_stages(const PipelineShape& shape);
[[nodiscard]] std::optional<std::string> refuse_uneven_interleaving(const PipelineShape& shape);

}  // namespace foretrain
