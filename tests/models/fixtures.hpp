// Models of the tests, small and named after what they stand for, and reading from text.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "models/model.hpp"

namespace foretrain::testing {

/// A GPT as Korthikanti et al. 2022 describe it: f = 4 h, biases, learned positions, tied.
[[nodiscard]] Model gpt(std::int64_t layers, std::int64_t hidden, std::int64_t heads);

/// The same with rotary positions and both branches side by side.
[[nodiscard]] Model neox(std::int64_t layers, std::int64_t hidden, std::int64_t heads);

/// RMS norms, shared key-value heads, a gated MLP, no biases, untied.
[[nodiscard]] Model llama(std::int64_t layers, std::int64_t hidden, std::int64_t heads);

/// llama with experts.
[[nodiscard]] Model mixtral(std::int64_t layers, std::int64_t hidden, std::int64_t heads);

/// b sequences of s tokens on one of t ranks; attention unfused, so that FLOPs are the full square.
[[nodiscard]] Shard shard(std::int64_t micro_batch, std::int64_t sequence, std::int64_t tensor);

/// FLOPs of the GEMMs among these steps, attention as the whole square.
[[nodiscard]] double gemm_flops(const std::vector<Step>& steps);

/// How many of these steps are this boundary.
[[nodiscard]] std::int64_t count_of(const std::vector<Step>& steps, Boundary boundary);

/// Reads a model of ours, or a config.json, called "m.toml" or "config.json" in errors.
[[nodiscard]] Model model_from_toml(const std::string& text);
[[nodiscard]] Model model_from_json(const std::string& text);

/// What the reader says of a wrong file: all its mistakes, or "" when it accepts it.
[[nodiscard]] std::string mistakes_in_toml(const std::string& text);
[[nodiscard]] std::string mistakes_in_json(const std::string& text);

/// Whether a message says this among other things.
[[nodiscard]] bool contains(const std::string& message, std::string_view part);

}  // namespace foretrain::testing
