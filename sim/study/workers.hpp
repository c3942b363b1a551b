// Runs many independent pieces of work in worker processes: SimGrid allows one engine per process,
// and a crash takes down one point of a study, not the study.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace foretrain {

/// Told how many pieces of work are done, whenever one is.
using WorkersProgress = std::function<void(std::size_t done)>;

/// Calls `work(i)` for i in [0, count) in child processes, at most `jobs` at a time, and returns
/// what each came to, by i. A child that dies or throws leaves nothing. Throws
/// std::system_error when no process can be started. REQUIRES: jobs >= 1.
[[nodiscard]] std::vector<std::optional<std::string>> run_in_workers(
    std::size_t count, std::size_t jobs, const std::function<std::string(std::size_t)>& work,
    const WorkersProgress& progress = {});

}  // namespace foretrain
