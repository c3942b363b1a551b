// What the fuzz targets share: bytes as text, and the one exception that bad input may end in.
// Anything else (a crash, a failed assertion, a sanitizer's report) is a find.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "sim/core/error.hpp"

namespace foretrain::fuzzing {

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {data, data + size};
}

/// Runs `action`, which may refuse its input, but then with something to say.
template <class Action>
void refusing(Action action) {
  try {
    action();
  } catch (const ConfigError& error) {
    FORETRAIN_ASSERT(!error.diagnostics().empty() && *error.what() != '\0',
                     "an error says what is wrong");
  }
}

}  // namespace foretrain::fuzzing
