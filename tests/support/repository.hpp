// Where the repository keeps the files that tests read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace foretrain::testing {

inline const std::string kRoot = FORETRAIN_SOURCE_DIR;
inline const std::string kModels = kRoot + "/models";

}  // namespace foretrain::testing
