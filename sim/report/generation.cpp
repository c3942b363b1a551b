// SPDX-License-Identifier: Apache-2.0
#include "sim/report/generation.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace foretrain {
namespace {}  // namespace

std::optional<std::int64_t> RoleGeneration::most_sequences() const {
  if (cache_of_sequence <= Bytes(0)) {
    return std::nullopt;
  }
  const double room = (capacity - weights - overhead) / cache_of_sequence;
  return static_cast<std::int64_t>(std::floor(std::max(0.0, room)));
}

bool GenerationMemory::fits() const {
  return std::all_of(roles.begin(), roles.end(),
                     [](const RoleGeneration& role) { return role.fits(); });
}

std::int64_t GenerationMemory::most_sequences() const {
  std::optional<std::int64_t> most;
  for (const RoleGeneration& role : roles) {
    if (const auto here = role.most_sequences()) {
      most = std::min(most.value_or(*here), *here);
    }
  }
  return most.value_or(0);
}

std::string to_text(const GenerationMemory& memory) {
  std::string text = fmt::format(
      "generation: {} sequences of {} tokens{}, weights in {}, keys and values in {}\n"
      "keys and values of one token: {:.1f} kB in the whole model\n\n",
      memory.batch, memory.context_length,
      memory.held_tokens < memory.context_length
          ? fmt::format(" (the last {} held)", memory.held_tokens)
          : "",
      memory.weight_dtype, memory.kv_dtype, memory.cache_per_token.value * 1e-3);
  text += fmt::format("{:<10} {:>11} {:>11} {:>11} {:>8} {:>8} {:>15}\n", "GB per GPU", "weights",
                      "context", "KV cache", "total", "of", "most sequences");
  for (const RoleGeneration& role : memory.roles) {
    const auto most = role.most_sequences();
    text +=
        fmt::format("{:<10} {:>11.2f} {:>11.2f} {:>11.2f} {:>8.2f} {:>8.2f} {:>15}{}\n", role.role,
                    role.weights / 1_GB, role.overhead / 1_GB, role.cache / 1_GB,
                    role.total() / 1_GB, role.capacity / 1_GB,
                    most ? fmt::format("{}", *most) : "any", role.fits() ? "" : "  does not fit");
  }
  return text + "note: activations of the tokens that are being computed are not counted\n";
}

std::string to_csv(const GenerationMemory& memory) {
  std::string text =
      "role,weights_bytes,context_bytes,kv_cache_bytes,kv_bytes_per_token,total_bytes,"
      "capacity_bytes,most_sequences,fits\n";
  for (const RoleGeneration& role : memory.roles) {
    const auto most = role.most_sequences();
    text += fmt::format("{},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{:.0f},{},{}\n", role.role,
                        role.weights.value, role.overhead.value, role.cache.value,
                        role.cache_per_token.value, role.total().value, role.capacity.value,
                        most ? fmt::format("{}", *most) : "", role.fits() ? 1 : 0);
  }
  return text;
}

}  // namespace foretrain
