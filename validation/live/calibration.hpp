// Measures this machine with the trainer's benchmarks and writes the files that describe it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "strategies/plan.hpp"
#include "validation/live/benchmarks.hpp"
#include "validation/live/launch.hpp"
#include "validation/live/platform_files.hpp"

namespace foretrain::live {

/// Told what is being done, a line at a time.
using Tell = std::function<void(const std::string&)>;

struct Calibration {
  MemoryRates memory;
  std::vector<CodecRate> codecs;
  Level level;
  std::string words;  ///< what was fitted, and how well
};

/// In `folder`: kernels.csv and gpu.toml, codecs.csv, for every rate collectives-RATE.csv,
/// interference-RATE.csv and cluster-RATE.toml, stack.toml, and the single-rank runs that give the
/// level. Nothing is fitted to a step that communicates. Throws ProcessError and ConfigError.
[[nodiscard]] Calibration calibrate(const Tools& tools, const Selection& selection,
                                    const std::string& folder, const Catalogue& catalogue,
                                    const Tell& tell);

/// Writes the cluster's file of another rate: as the nearest of these, but for the rate.
void add_rate(BytesPerSecond rate, const std::vector<BytesPerSecond>& calibrated,
              const std::string& folder);

void write_text(const std::string& path, const std::string& text);

}  // namespace foretrain::live
