// Rows of a table of measured training steps (one training configuration each, with what was
// measured) as cases: base keys from the columns, the rest by the rules of the row's source.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "validation/case.hpp"
#include "validation/csv.hpp"
#include "validation/source_rules.hpp"

namespace foretrain::validation {

/// A case for every row whose quality is one of the letters in `qualities`, in the order of the
/// table; a row that no run file can express says why. `name` is what errors call the table.
/// Throws ConfigError when a column that everything needs is missing from the table.
[[nodiscard]] std::vector<Case> cases_of(const CsvTable& table, const SourceRules& rules,
                                         const std::string& name, const std::string& qualities);

}  // namespace foretrain::validation
