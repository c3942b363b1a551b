// Pipeline schedules: in which order a stage does the forwards and backwards of its chunks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strategies/pipeline/bubble.hpp"

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
  /// Runs piece by piece in turn with the slot after it, of another micro-batch, so that what one
  /// communicates travels beside what the other computes (DeepSeek-AI 2024, section 3.2.1).
  bool is_paired = false;
  bool operator==(const Slot&) const = default;
};

/// p = stages, v = virtual_stages (chunks of layers per stage), m = micro_batches per step.
struct PipelineShape {
  std::int32_t stages = 1;
  std::int32_t virtual_stages = 1;
  std::int32_t micro_batches = 1;
  /// Contiguous micro-batches that go through a chunk before its stage turns to the next chunk, in
  /// schedules that let a run choose (Llama Team 2024, section 3.3.2); 0: as many as stages.
  std::int32_t micro_batch_group = 0;
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

/// Which places of the model the chunks of a stage hold; a micro-batch goes from place 0 up.
enum class ChunkPlacement : std::uint8_t {
  round_robin,  ///< chunk c of stage s is place c p + s
  /// Chunk 0 of stage s is place s, chunk 1 is place 2 p - 1 - s: the last stage hands to itself,
  /// and the first one ends what it began.
  v_shape,
  /// Of p places chunk 0 is place s and chunk 1 is place p - 1 - s: two copies of the model, each
  /// for half of the micro-batches, one from the first stage on, one from the last.
  both_ways,
};

struct PipelineSchedule {
  std::string_view name;
  std::string_view sentence;
  ScheduleFunction order;
  AcceptFunction refuse;
  const BubbleForm* bubble;  ///< its closed form; null where only a bound is known
  StepEnd end = StepEnd::together;
  ChunkPlacement placement = ChunkPlacement::round_robin;
  std::int32_t chunks = 0;  ///< per stage, where the schedule leaves no choice
  bool has_groups = false;  ///< follows PipelineShape::micro_batch_group
};

/// All schedules; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const PipelineSchedule> pipeline_schedules();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const PipelineSchedule& pipeline_schedule(std::string_view name);

// The implementations, one file each.
[[nodiscard]] std::vector<Slot> gpipe(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> breadth_first(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> one_f_one_b(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> interleaved_one_f_one_b(const PipelineShape& shape,
                                                        std::int32_t stage);
[[nodiscard]] std::vector<Slot> interleaved_zb(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> zb_h1(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> zb_2p(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> zb_v(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> v_half(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> v_min(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> dual_pipe(const PipelineShape& shape, std::int32_t stage);
[[nodiscard]] std::vector<Slot> dual_pipe_v(const PipelineShape& shape, std::int32_t stage);

// Why not, shared by several.
[[nodiscard]] std::optional<std::string> accept_all(const PipelineShape& shape);
[[nodiscard]] std::optional<std::string> refuse_virtual_stages(const PipelineShape& shape);
[[nodiscard]] std::optional<std::string> refuse_uneven_interleaving(const PipelineShape& shape);
[[nodiscard]] std::optional<std::string> refuse_other_than_two_chunks(const PipelineShape& shape);
[[nodiscard]] std::optional<std::string> refuse_uneven_dual_pipe(const PipelineShape& shape);
[[nodiscard]] std::optional<std::string> refuse_short_dual_pipe_v(const PipelineShape& shape);

}  // namespace foretrain
