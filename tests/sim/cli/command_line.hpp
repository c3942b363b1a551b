// Runs a command line within the test, and keeps what it says on either stream.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "sim/cli/cli.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {

struct Outcome {
  int code = -1;
  std::string out;   ///< data
  std::string talk;  ///< everything else
};

inline Outcome command_line(const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream talk;
  cli::Console console{out, talk};
  Outcome outcome;
  outcome.code = cli::run(arguments, console);
  outcome.out = out.str();
  outcome.talk = talk.str();
  return outcome;
}

/// A run file of a few milliseconds: GPT-2 on one node, tensor 2 x pipeline 2 x data 2.
inline constexpr const char* kSmallRun = R"(model    = "gpt2"
platform = "dgx-a100-40gb"
nodes    = 1

[training]
sequence_length = 128
global_batch    = 8
tokens          = "1 G"

[parallel]
tensor   = 2
pipeline = 2
)";

/// kSmallRun in a folder of its own, and commands on it.
class SmallRun {
 public:
  SmallRun() : file_(folder_.write("run.toml", kSmallRun)) {}
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] const ScratchFolder& folder() const { return folder_; }
  [[nodiscard]] Outcome operator()(const std::string& command,
                                   const std::vector<std::string>& options = {}) const {
    std::vector<std::string> arguments = {command, file_};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return command_line(arguments);
  }

 private:
  ScratchFolder folder_;
  std::string file_;
};

/// Options that make of the small run one that does not fit: 175 billion parameters on 8 GPUs.
inline std::vector<std::string> too_large() {
  return {"--set", "model=gpt3-175b", "--set", "parallel.tensor=8", "--set", "parallel.pipeline=1"};
}

inline std::vector<std::string> with(std::vector<std::string> options,
                                     const std::vector<std::string>& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

/// The lines of a text, and the cells of a line of comma-separated values without quotes.
inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

}  // namespace foretrain::testing
