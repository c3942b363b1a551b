// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/text.hpp"

#include <array>
#include <stdexcept>
#include <utility>

#include "sim/core/random.hpp"

namespace foretrain::trainer {
namespace {

constexpr auto kWho = std::to_array<std::string_view>(
    {"the harbour master", "a young sailor", "the old pilot", "the baker's daughter", "a fisherman",
     "the lighthouse keeper", "the clerk of the port", "a stranger"});
constexpr auto kDoes = std::to_array<std::string_view>(
    {"watched", "counted", "mended", "waited for", "spoke of", "carried", "painted", "forgot"});
constexpr auto kWhat = std::to_array<std::string_view>(
    {"the grey boats", "seven nets", "the morning tide", "a letter from the islands",
     "the long ropes", "the new lamp", "an empty barrel", "the northern ship"});
constexpr auto kWhen = std::to_array<std::string_view>(
    {"before dawn", "in the evening", "while it rained", "until the bell rang", "without a word",
     "as every year", "when the wind turned", "near the wall"});
constexpr auto kJoin = std::to_array<std::string_view>({", and ", ", but ", "; then ", ". "});

}  // namespace

std::string generated_text(std::size_t bytes, std::uint64_t seed) {
  std::string text;
  std::uint64_t count = 0;
  const auto pick = [&](const auto& words) {
    return words[random_word({seed, count++}) % words.size()];
  };
  while (text.size() < bytes) {
    text += pick(kWho);
    text += ' ';
    text += pick(kDoes);
    text += ' ';
    text += pick(kWhat);
    text += ' ';
    text += pick(kWhen);
    text += pick(kJoin);
  }
  text.resize(bytes);
  return text;
}

Text::Text(std::string text, std::int64_t sequence, std::uint64_t seed)
    : text_(std::move(text)), sequence_(sequence), seed_(seed) {
  if (static_cast<std::int64_t>(text_.size()) < 2 * (sequence + 1)) {
    throw std::runtime_error("the text has " + std::to_string(text_.size()) +
                             " bytes, fewer than two samples of " + std::to_string(sequence + 1));
  }
}

std::vector<std::int32_t> Text::sample(std::int64_t step, std::int64_t index) const {
  const std::uint64_t places =
      text_.size() - static_cast<std::size_t>(sequence_);  // first bytes that a sample can have
  const std::uint64_t drawn =
      random_word({seed_, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(index)});
  const auto first = static_cast<std::size_t>(drawn % places);
  std::vector<std::int32_t> tokens;
  tokens.reserve(static_cast<std::size_t>(sequence_) + 1);
  for (std::size_t i = 0; i <= static_cast<std::size_t>(sequence_); ++i) {
    tokens.push_back(static_cast<unsigned char>(text_[first + i]));
  }
  return tokens;
}

}  // namespace foretrain::trainer
