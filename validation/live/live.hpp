// foretrain validate --live, from benchmarks to the report.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "validation/live/calibration.hpp"
#include "validation/live/report.hpp"

namespace foretrain::live {

struct LiveOptions {
  Tools tools;
  Selection selection;  ///< its rates are those of loopback where links cannot be shaped
  std::string folder;   ///< of run files, benchmarks and measurements; it is there
  Catalogue catalogue;
};

/// Calibrates on kernels, collectives, codecs and single ranks; predicts every setting, and writes
/// predictions.csv; then measures them. A setting that fails is in the report with its reason.
/// Throws ConfigError and ProcessError when it cannot get that far.
[[nodiscard]] LiveReport validate_live(const LiveOptions& options, const Tell& tell);

}  // namespace foretrain::live
