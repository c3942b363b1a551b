// The kinds of context parallelism: how ranks that share the tokens of a sequence come to the keys
// and values of the others. One file each.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "strategies/stage.hpp"

namespace foretrain {

enum class Direction : std::uint8_t { forward, backward };

/// One attention core to be written, with what has to travel around it.
struct ContextCore {
  const Run& run;
  BodyWriter& writer;
  std::span<const StreamIndex> streams;  ///< those that the kind asked for
  std::span<const Step> steps;           ///< kernels
  Direction direction = Direction::forward;

  /// Writes the kernels as they are.
  void kernels() const;
};

struct ContextKind {
  std::string_view name;
  std::string_view sentence;
  /// Why a run cannot do it, naming keys; nothing when it can. REQUIRES: tensor divides the heads.
  std::optional<std::string> (*refuse)(const Run& run);
  /// Names of the streams that it wants besides compute. REQUIRES: context > 1.
  std::vector<std::string_view> (*streams)(const Run& run);
  void (*write)(const ContextCore& core);
};

/// All kinds; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const ContextKind> context_kinds();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const ContextKind& context_kind(std::string_view name);

/// The kernel of the core: it has the widths of heads, which differ between models and between
/// keys and values. REQUIRES: the run's stack has flash attention.
[[nodiscard]] const FlashAttention& kernel_of(const ContextCore& core);
/// Keys and values of this many tokens, as many heads as a rank has, 16-bit.
[[nodiscard]] Bytes keys_and_values(const ContextCore& core, double tokens);

// The implementations, one file each.
[[nodiscard]] std::optional<std::string> refuse_no_context(const Run& run);
[[nodiscard]] std::vector<std::string_view> all_gather_streams(const Run& run);
void write_all_gather(const ContextCore& core);
[[nodiscard]] std::optional<std::string> refuse_ring(const Run& run);
[[nodiscard]] std::vector<std::string_view> ring_streams(const Run& run);
void write_ring(const ContextCore& core);
[[nodiscard]] std::optional<std::string> refuse_ulysses(const Run& run);
[[nodiscard]] std::vector<std::string_view> ulysses_streams(const Run& run);
void write_ulysses(const ContextCore& core);

}  // namespace foretrain
