// The command lines of validation/trainer/launch.sh.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "validation/live/settings.hpp"

namespace foretrain::live {

struct Tools {
  std::string launcher;  ///< path of launch.sh
  std::string trainer;   ///< path of foretrain_trainer
};

/// Two pinned ranks of the trainer.
struct Launch {
  BytesPerSecond rate = kLoopback;
  Straggler straggler = Straggler::none;
  bool is_alone = false;  ///< each is a world of its own
  std::vector<std::string> arguments;
};
[[nodiscard]] std::vector<std::string> command_of(const Tools& tools, const Launch& launch);

/// Whether this machine lets us shape links: else every rate is that of loopback. Throws
/// ProcessError.
[[nodiscard]] bool can_shape_links(const Tools& tools);

/// Throws ConfigError, with what to do, when the trainer or its launcher is not there.
void check_tools(const Tools& tools);

}  // namespace foretrain::live
