// Fits the kernel-time parameters of a GPU file to a table of measured kernels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "validation/calibrate/kernel_table.hpp"
#include "validation/calibrate/least_squares.hpp"

namespace foretrain::validation {

struct CalibrateOptions {
  KernelTableOptions table;
  std::int64_t holdout = 4;  ///< parts of the rows; each is left out once
  std::uint64_t seed = 0;    ///< another seed, another split
  std::string command;       ///< written into the file
};

/// One parameter: a dotted key of the GPU file.
struct FittedNumber {
  std::string key;
  Estimate estimate;
  std::string unit;         ///< "us", or empty for shares and counts
  bool is_written = false;  ///< false: the base file's own number stands
};

/// |predicted / measured - 1|.
struct Errors {
  std::size_t rows = 0;
  double median = 0;
  double mean = 0;
  double ninetieth = 0;
};
[[nodiscard]] Errors errors_of(std::vector<double> errors);

struct ErrorLine {
  std::string table;  ///< as MeasuredKernel::table
  std::string size;   ///< "all", "small", "medium", "large", "m >= 1024"
  Errors fitted;
  Errors held;
};

struct GpuCalibration {
  Gpu gpu;
  std::vector<FittedNumber> numbers;
  std::vector<ErrorLine> errors;
  std::map<std::string, int> rejected;
  std::string toml;  ///< the GPU file
};

/// `base` is a GPU file without the numbers to be fitted. What it has stands; numbers that an
/// earlier calibration wrote (its [calibration] lists them) are fitted again. Shapes are split by a
/// stable hash into `holdout` parts (few rows: one per shape); each part in turn is left out,
/// predicted by a fit to the others, and scored. What is written is fitted to all rows. Throws
/// ConfigError when the result is no whole GPU file.
[[nodiscard]] GpuCalibration calibrate_gpu(const KernelTable& table, const config::Value& base,
                                           const CalibrateOptions& options);

/// Parameters, errors by table and size, rejected rows.
[[nodiscard]] std::string text_of(const GpuCalibration& calibration);

}  // namespace foretrain::validation
