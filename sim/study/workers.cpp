// SPDX-License-Identifier: Apache-2.0
#include "sim/study/workers.hpp"

#include "sim/study/worker_pool.hpp"

namespace foretrain {

std::vector<std::optional<std::string>> run_in_workers(
    std::size_t count, std::size_t jobs, const std::function<std::string(std::size_t)>& work,
    const WorkersProgress& progress) {
  std::vector<std::optional<std::string>> results(count);
  WorkerPool pool(jobs);
  std::size_t next = 0;
  std::size_t done = 0;
  while (done < count) {
    for (; next < count && pool.has_room(); ++next) {
      pool.start(next, [&work, next] { return work(next); });
    }
    for (Finished& finished : pool.take(WorkerPool::Wait::until_one_ends)) {
      results[finished.index] = std::move(finished.text);
      ++done;
      if (progress) {
        progress(done);
      }
    }
  }
  return results;
}

}  // namespace foretrain
