// SPDX-License-Identifier: Apache-2.0
#include "validation/live/measurement.hpp"

#include "sim/config/reader.hpp"

namespace foretrain::live {

StepMeasurement read_measurement(config::Sources& sources, const std::string& path) {
  const config::Value tree = config::parse_toml(sources, path, config::read_file(path));
  config::Diagnostics diagnostics;
  config::Reader root(tree, "", diagnostics);
  config::Reader measured = root.child("measured");
  config::Reader record = measured.child("record");
  StepMeasurement step;  // the rest of the file is the trainer's to say
  step.median = measured.get<Seconds>("step_time");
  step.fastest = record.get<Seconds>("fastest");
  step.slowest = record.get<Seconds>("slowest");
  step.repeats = record.count("repeats");
  step.hardware = record.get<std::string>("hardware", "");
  step.communication = record.get<std::string>("communication", "");
  if (measured.has("step_time") && step.median <= Seconds(0)) {
    measured.fail("step_time", "expected a time above zero");
  }
  diagnostics.throw_if_any();
  return step;
}

}  // namespace foretrain::live
