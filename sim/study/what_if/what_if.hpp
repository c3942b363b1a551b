// --what-if nic=400Gb/s,gpu=h200-sxm,hbm=+50%: changes of a run's hardware on one line. Each
// becomes an [override] of the run file, so that what was changed is read, checked and kept like
// the rest. The visible table of names is in rows.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/value.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// How much: a factor of what is there ("2x", "+50%", "-20%"), or what stands there instead.
struct Amount {
  std::string text;
  std::optional<double> factor;
  config::Position position;
};

/// One change as it was written.
struct HardwareChange {
  std::string name;  ///< of a row
  Amount amount;

  [[nodiscard]] std::string text() const { return name + "=" + amount.text; }
};

class Hardware;

/// A name that can stand on the line. `change` throws ConfigError where the hardware has no such
/// number, or the amount is of the wrong kind.
struct WhatIfRow {
  std::string_view name;
  std::string_view sentence;
  std::string_view example;  ///< an amount
  void (*change)(Hardware& hardware, const Amount& amount);
};

/// All names, in the order in which changes are made.
[[nodiscard]] std::span<const WhatIfRow> what_if_rows();

/// The changes of a line, in the order of the table; each name at most once. Throws ConfigError,
/// with the nearest name, for what is none.
[[nodiscard]] std::vector<HardwareChange> parse_what_if(config::Sources& sources,
                                                        const std::string& line);

/// What a change did, for people: "nic=2x: fabric.rate 25 GB/s -> 50 GB/s".
using ChangeText = std::string;

/// Changes the tree of a run file; paths are relative to `directory`. Throws ConfigError.
[[nodiscard]] ChangeText apply(const HardwareChange& change, config::Value& run_file,
                               config::Sources& sources, const Catalogue& catalogue,
                               const std::string& directory);

/// The same for all changes of a line.
[[nodiscard]] std::vector<ChangeText> apply_what_if(const std::string& line,
                                                    config::Value& run_file,
                                                    config::Sources& sources,
                                                    const Catalogue& catalogue,
                                                    const std::string& directory);

/// What the option's help says: every name with its sentence and an example.
[[nodiscard]] std::string what_if_help();

}  // namespace foretrain
