// SPDX-License-Identifier: Apache-2.0
#include "validation/words.hpp"

#include <algorithm>

namespace foretrain::validation {
namespace {

// ASCII only, whatever the locale.
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_of_a_word(char c) { return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9'); }

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), [](char c) { return lower(c); });
  return result;
}

// Whether the text breaks between words at a place: at its ends, or where one side is no letter or
// digit.
bool breaks_at(std::string_view text, std::size_t place) {
  return place == 0 || place == text.size() || !is_of_a_word(text[place - 1]) ||
         !is_of_a_word(text[place]);
}

bool holds(std::string_view text, std::string_view word, bool at_start, bool at_end) {
  for (std::size_t at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((!at_start || at == 0) && (!at_end || end == text.size()) && breaks_at(text, at) &&
        breaks_at(text, end)) {
      return true;
    }
  }
  return false;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

Words::Words(std::string_view pattern) {
  for (const std::string_view alternative : split(pattern, '|')) {
    std::vector<Word> words;
    for (std::string_view text : split(alternative, '&')) {
      Word word;
      word.at_start = text.starts_with('^');
      text.remove_prefix(word.at_start ? 1 : 0);
      word.at_end = text.ends_with('$');
      text.remove_suffix(word.at_end ? 1 : 0);
      word.text = lower(text);
      words.push_back(std::move(word));
    }
    alternatives_.push_back(std::move(words));
  }
}

bool Words::is_in(std::string_view cell) const {
  const std::string text = lower(cell);
  return std::any_of(alternatives_.begin(), alternatives_.end(),
                     [&](const std::vector<Word>& words) {
                       return std::all_of(words.begin(), words.end(), [&](const Word& word) {
                         return holds(text, word.text, word.at_start, word.at_end);
                       });
                     });
}

}  // namespace foretrain::validation
