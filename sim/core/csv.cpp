// SPDX-License-Identifier: Apache-2.0
#include "sim/core/csv.hpp"

namespace foretrain {

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string_view::npos) {
    return std::string(text);
  }
  std::string cell = "\"";
  for (const char c : text) {
    cell += c == '"' ? "\"\"" : std::string(1, c);
  }
  return cell + '"';
}

}  // namespace foretrain
