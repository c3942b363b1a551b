// Finds words in the cells of a table, as the rules for a source name them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace foretrain::validation {

/// One or more words to look for, in any case, such as "per op|op-level" or "A100&40GB": |
/// separates alternatives, & joins what must all be there, ^ stands for the start of the cell and $
/// for its end ("^$" is an empty cell). A word is found only as a whole: "op" is not in "dropout",
/// nor "H100" in "GH100".
class Words {
 public:
  explicit Words(std::string_view pattern);
  [[nodiscard]] bool is_in(std::string_view cell) const;

 private:
  struct Word {
    std::string text;  ///< in lower case
    bool at_start = false;
    bool at_end = false;
  };
  std::vector<std::vector<Word>> alternatives_;
};

}  // namespace foretrain::validation
