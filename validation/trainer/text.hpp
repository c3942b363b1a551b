// What is learned: text as bytes, cut into samples that depend on the step alone, so that every
// layout sees the same.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::trainer {

/// Sentences of a small grammar of our own, about a harbour: enough structure to be learned, and
/// nobody's text.
[[nodiscard]] std::string generated_text(std::size_t bytes, std::uint64_t seed);

class Text {
 public:
  /// Throws std::runtime_error when it is shorter than two samples.
  Text(std::string text, std::int64_t sequence, std::uint64_t seed);

  /// Sample `index` of a step: sequence + 1 bytes; token i is followed by token i + 1.
  [[nodiscard]] std::vector<std::int32_t> sample(std::int64_t step, std::int64_t index) const;

 private:
  std::string text_;
  std::int64_t sequence_;
  std::uint64_t seed_;
};

}  // namespace foretrain::trainer
