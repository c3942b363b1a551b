// How the rows of a table of measurements become run files: rules in a data file, one or more for
// each source. Every rule whose words are in the row applies, in the order of the file, and a later
// one overrides an earlier one key by key, so general rules come first.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/value.hpp"
#include "validation/words.hpp"

namespace foretrain::validation {

struct SourceRule {
  std::vector<std::pair<std::string, Words>> when;         ///< column and words: all must be there
  std::vector<std::pair<std::string, Words>> unless;       ///< none may be there
  std::vector<std::pair<std::string, config::Value>> set;  ///< run-file key ("training.recompute")
  std::vector<std::string> drop;                           ///< run-file keys to leave out
  std::optional<std::string> group;                        ///< the source's name in reports
  std::optional<std::vector<std::string>> sweep;  ///< columns that rows of one layout sweep share
  std::optional<std::string> refuse;              ///< why such a row cannot be expressed
  std::optional<double> peak_tflops;              ///< what the source's MFU is a share of
  std::optional<std::string> layer_time;          ///< key in the notes, in ms of one layer
  std::vector<std::string> notes;                 ///< what was inferred
};

struct SourceRules {
  std::vector<SourceRule> rules;
  /// For each source, the numbers of data files that were fitted on it ("file: key"): it says
  /// nothing about a run of other software unless they are left out.
  std::map<std::string, std::vector<std::string>> fitted;
};

/// Reads a file of [[rule]] tables and one table [fitted]. Throws ConfigError.
[[nodiscard]] SourceRules load_source_rules(config::Sources& sources, const std::string& path);

}  // namespace foretrain::validation
