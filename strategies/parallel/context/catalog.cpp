// The table of kinds of context parallelism.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "sim/core/error.hpp"
#include "sim/core/table.hpp"
#include "strategies/parallel/context/kind.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<ContextKind, 3> kKinds = {{
    {"all-gather", "Keys and values of all ranks are gathered before attention (Llama 3)",
     refuse_no_context, all_gather_streams, write_all_gather},
    {"ring", "Keys and values go from neighbour to neighbour while attention runs piece by piece",
     refuse_ring, ring_streams, write_ring},
    {"ulysses", "All-to-all before and after: each rank has all tokens of a share of the heads",
     refuse_ulysses, ulysses_streams, write_ulysses},
}};
// clang-format on

}  // namespace

std::span<const ContextKind> context_kinds() { return kKinds; }

const ContextKind& context_kind(std::string_view name) {
  return row_named(kKinds, name, "kind of context parallelism");
}

void ContextCore::kernels() const {
  for (const Step& step : steps) {
    const NameId name = writer.builder().name(step.name);
    std::visit(
        [&](const auto& shape) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(shape)>, Boundary>) {
            writer.kernel(Kernel{name, shape});
          }
        },
        step.what);
  }
}

const FlashAttention& kernel_of(const ContextCore& core) {
  for (const Step& step : core.steps) {
    if (const auto* flash = std::get_if<FlashAttention>(&step.what)) {
      return *flash;
    }
  }
  throw InternalError("context parallelism needs a flash kernel");
}

Bytes keys_and_values(const ContextCore& core, double tokens) {
  const FlashAttention& flash = kernel_of(core);
  const std::int64_t heads = core.run.model.kv_heads / core.run.parallel.tensor;
  return tokens * static_cast<double>(heads * (flash.qk_head_dim + flash.v_head_dim)) *
         std::max(Bytes(2), size_of(core.run.training.precision));  // fp8 is for GEMM inputs only
}

}  // namespace foretrain
