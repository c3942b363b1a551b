// What a training leaves behind: a run file with what it measured, and a trace.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/value.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer {

struct Measurement {
  std::vector<double> step_times_s;  ///< of the timed steps, each that of the slowest rank
  std::int64_t warm_up = 0;          ///< steps before them
  std::int64_t peak_bytes = 0;       ///< of tensors, of the rank that has most
  std::int64_t used_bytes = 0;       ///< of the whole device; 0: unknown
  std::vector<Span> spans;           ///< of one step of this rank
  std::vector<std::string> stream_names;
  std::string hardware;
  std::string communication;  ///< the library, and the fabric that it ran over
  std::vector<std::pair<std::string, std::string>> versions;
  std::int64_t ranks = 1;
  double first_loss = 0;
  double last_loss = 0;
};

/// The middle one, or the mean of the two in the middle. REQUIRES: not empty.
[[nodiscard]] double median(std::vector<double> values);

/// The run file as given, with [measured] and, for the record, [measured.record]. `date` is ISO's.
[[nodiscard]] std::string measurement_toml(config::Value run, const Measurement& measurement,
                                           const std::string& date);

/// Chrome's JSON trace format, as the simulator writes its timeline: one thread for each stream.
void write_trace(std::ostream& out, const std::vector<Span>& spans,
                 const std::vector<std::string>& stream_names, int rank);

}  // namespace foretrain::trainer
