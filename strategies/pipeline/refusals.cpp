// Why a schedule cannot run a shape, for reasons that several schedules share.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

std::optional<std::string> accept_all(const PipelineShape&) { return std::nullopt; }

std::optional<std::string> refuse_virtual_stages(const PipelineShape& shape) {
  if (shape.virtual_stages == 1) {
    return std::nullopt;
  }
  return "this schedule keeps a stage's layers together, but virtual_stages = " +
         std::to_string(shape.virtual_stages) + ": use schedule = \"interleaved-1f1b\"";
}

std::optional<std::string> refuse_other_than_two_chunks(const PipelineShape& shape) {
  if (shape.virtual_stages != 2) {
    return "this schedule gives each stage two chunks, but virtual_stages = " +
           std::to_string(shape.virtual_stages) + ": say 2 or nothing";
  }
  if (shape.stages == 1) {
    return "this schedule goes along the stages and back, but pipeline = 1";
  }
  return std::nullopt;
}

}  // namespace foretrain
