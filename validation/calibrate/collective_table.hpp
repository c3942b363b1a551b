// Measured collectives from what people have: the text or JSON that nccl-tests prints, or a CSV
// table. What cannot be used is counted with the reason.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/value.hpp"
#include "sim/core/units.hpp"
#include "sim/program/program.hpp"

namespace foretrain::validation {

struct MeasuredCollective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes payload;  ///< the full vector, as in nccl-tests
  std::int64_t gpus = 0;
  std::int64_t nodes = 0;
  Seconds time;
  std::string algorithm;  ///< that was forced, by our name; empty where the library chose
  std::string source;     ///< whoever measured; only rows of one source are held against each other
  int line = 0;           ///< of its file

  [[nodiscard]] std::int64_t gpus_per_node() const { return gpus / nodes; }
};

struct CollectiveTableOptions {
  /// Where the file does not say; a file that says another is wrong.
  std::optional<CollectiveKind> kind;
  std::int64_t gpus = 0;           ///< 0: as the file says
  std::int64_t gpus_per_node = 0;  ///< 0: as the file says
  std::string algorithm;           ///< what rows ran that do not say; empty: the library chose
  /// Of a CSV table, the rows where a column has one of these texts: {"gpu", "B200"}.
  std::vector<std::pair<std::string, std::string>> where;
};

struct CollectiveTable {
  std::vector<MeasuredCollective> rows;
  std::map<std::string, int> rejected;  ///< reason -> rows; rows that `where` leaves out are not
};

/// Text or JSON of nccl-tests, or CSV, told apart by how it begins. Columns of a CSV: collective,
/// message_bytes, num_gpus, num_nodes, and a time or bandwidth (measured_time_us,
/// measured_algbw_GBps or measured_busbw_GBps); optionally algorithm and source_repo. Out-of-place
/// results count, in-place ones where there are no others. Throws ConfigError.
[[nodiscard]] CollectiveTable read_collectives(config::Sources& sources, const std::string& path,
                                               const CollectiveTableOptions& options);
[[nodiscard]] CollectiveTable parse_collectives(config::Sources& sources, std::string name,
                                                std::string text,
                                                const CollectiveTableOptions& options);

/// From here on bandwidth decides, below it latency; errors are told apart at this payload.
inline constexpr Bytes kLargePayload{8.0 * 1024 * 1024};

/// Takes out rows that other measurements of the same source and kind contradict:
/// a larger or equal payload on as many or more GPUs took less than 1/1.1 of the time;
/// from kLargePayload up, at least twice the payload took less than 1.1 of the time;
/// and all rows of a group size, above or below kLargePayload, of which more than half fell so.
void reject_erratic(CollectiveTable& table);

}  // namespace foretrain::validation
