// Run files: whatever is read without a mistake keeps the limits that later arithmetic relies on.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "sim/config/reader.hpp"
#include "sim/config/value.hpp"
#include "strategies/plan.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace foretrain {
namespace {

void check(const RunFile& file) {
  const Training& training = file.training;
  const Parallel& parallel = file.parallel;
  FORETRAIN_ASSERT(training.sequence_length > 0 && training.global_batch > 0 &&
                       training.micro_batch > 0 && training.tokens.value_or(1) > 0,
                   "a run trains something");
  FORETRAIN_ASSERT(parallel.tensor > 0 && parallel.pipeline > 0 && parallel.virtual_stages > 0 &&
                       parallel.data.value_or(1) > 0 && file.nodes.value_or(1) > 0,
                   "no degree of parallelism is zero");
  static_cast<void>(pipeline_schedule(parallel.schedule));
  static_cast<void>(name_of(training.precision));
  if (file.measured) {
    FORETRAIN_ASSERT(file.measured->step_time || file.measured->flops_per_gpu,
                     "a measurement has a value");
    FORETRAIN_ASSERT(file.measured->step_time.value_or(Seconds(1)) > Seconds(0),
                     "a measured time is more than zero");
  }
}

}  // namespace
}  // namespace foretrain

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  foretrain::fuzzing::refusing([&] {
    foretrain::config::Sources sources;
    const foretrain::config::Value root =
        foretrain::config::parse_toml(sources, "run.toml", foretrain::fuzzing::text_of(data, size));
    foretrain::config::Diagnostics diagnostics;
    foretrain::config::Reader reader(root, "", diagnostics);
    const foretrain::RunFile file = foretrain::read_run(reader);
    diagnostics.throw_if_any();
    foretrain::check(file);
  });
  return 0;
}
