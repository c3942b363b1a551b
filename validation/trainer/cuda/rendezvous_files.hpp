// Ranks tell one another small things through files in a folder that all of them see.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace foretrain::trainer::cuda {

class RendezvousFiles {
 public:
  RendezvousFiles(std::string directory, std::chrono::milliseconds patience)
      : directory_(std::move(directory)), patience_(patience) {}

  /// Whoever reads sees all of the bytes or no file. `name` may hold any letters.
  void publish(const std::string& name, const std::string& bytes) const;
  /// Waits for the file. Throws std::runtime_error when patience ends.
  [[nodiscard]] std::string await(const std::string& name) const;

 private:
  [[nodiscard]] std::string path_of(const std::string& name) const;

  std::string directory_;
  std::chrono::milliseconds patience_;
};

}  // namespace foretrain::trainer::cuda
