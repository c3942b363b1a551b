// The keys of [reliability], in a data file or in a run file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/study/goodput/reliability.hpp"

namespace foretrain::goodput {

/// Reads what the table says over what is there already. In a data file every number needs a
/// source; in a run file it may have one. Mistakes go to the reader's diagnostics.
void read_over(config::Reader& reader, bool is_data_file, Reliability& into);

}  // namespace foretrain::goodput
