// What the driver says about a GPU, through its management library (NVML), which comes with the
// driver and is looked for when the program runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace foretrain::trainer::cuda {

/// Driver version, clocks and power limit, as far as they can be had; empty without the library.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> driver_facts(
    const std::string& bus_id);

}  // namespace foretrain::trainer::cuda
