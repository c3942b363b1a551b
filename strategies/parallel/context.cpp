// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/context.hpp"

namespace foretrain {

ContextParallel::ContextParallel(const Run& run, BodyWriter& writer) : run_(run), writer_(writer) {
  if (run.parallel.context > 1) {
    for (const std::string_view name : context_kind(run.parallel.grid.context_kind).streams(run)) {
      streams_.push_back(writer.add_stream(name));
    }
  }
}

void ContextParallel::write(std::span<const Step> core, Direction direction) {
  const ContextCore all{run_, writer_, streams_, core, direction};
  if (run_.parallel.context == 1) {
    all.kernels();
  } else {
    context_kind(run_.parallel.grid.context_kind).write(all);
  }
}

}  // namespace foretrain
