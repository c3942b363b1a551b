// What goes wrong, and whose fault it is: a ConfigError is the user's (positions, nearest names),
// a failed FORETRAIN_ASSERT is ours. The library throws; only main prints and exits.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain {

/// One mistake in one input. `line` and `column` count from 1; 0 means "the file as a whole".
struct Diagnostic {
  std::string file;
  int line = 0;
  int column = 0;
  std::string key;      ///< dotted path, such as "parallel.tensor"; empty for syntax errors
  std::string message;  ///< what is wrong, what was expected, and the nearest valid name
  std::string excerpt;  ///< the source line (the part around `column`, if long); may be empty
  int caret = 0;        ///< the column within `excerpt`, when it was cut; 0 means `column`

  /// "file:3:17: parallel.tensor: expected ..." then the line and a caret, when there is a line.
  [[nodiscard]] std::string text() const;
};

/// All the mistakes of one input, in the order of the file.
class ConfigError : public std::runtime_error {
 public:
  /// REQUIRES: diagnostics is not empty.
  explicit ConfigError(std::vector<Diagnostic> diagnostics);
  [[nodiscard]] const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
};

/// An invariant of ours was broken: a bug in foretrain, never a mistake of the user.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void fail_assertion(const char* condition, std::string_view message, const char* file,
                                 int line);

#define FORETRAIN_ASSERT(condition, message)                                  \
  do {                                                                        \
    if (!(condition)) {                                                       \
      ::foretrain::fail_assertion(#condition, (message), __FILE__, __LINE__); \
    }                                                                         \
  } while (false)

}  // namespace foretrain
