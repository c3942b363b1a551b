// Worker processes that hand over each result as soon as it is there.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain {

/// One piece of work that is over.
struct Finished {
  std::size_t index = 0;
  std::optional<std::string> text;  ///< nothing when the worker died or threw
  std::string failure;              ///< how it died, such as "was killed by signal 9"
  Seconds wall;
};

/// At most `jobs` processes at a time. Each is killed when this process dies, however it dies.
class WorkerPool {
 public:
  /// REQUIRES: jobs >= 1.
  explicit WorkerPool(std::size_t jobs);
  /// Kills what still runs.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  [[nodiscard]] bool has_room() const;
  [[nodiscard]] bool is_idle() const;
  [[nodiscard]] std::size_t num_running() const;

  /// Starts a process that computes `work`. Throws std::system_error when it cannot.
  /// REQUIRES: has_room().
  void start(std::size_t index, const std::function<std::string()>& work);

  enum class Wait { until_one_ends, not_at_all };
  /// What is over. Waits for that as asked, but no longer than until `wake`, a file descriptor
  /// unless negative, can be read, or a signal is handled.
  [[nodiscard]] std::vector<Finished> take(Wait wait, int wake = -1);

 private:
  struct Worker;

  std::size_t jobs_;
  std::vector<Worker> running_;
};

}  // namespace foretrain
