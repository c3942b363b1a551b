// [reliability] of a run file: what breaks and how often, how long until training goes on, where
// checkpoints go. No predicted step contains any of it; `foretrain goodput` asks for it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platforms/fact.hpp"
#include "sim/config/reader.hpp"

namespace foretrain::goodput {

/// What may fail. Any failure stops the whole job.
enum class PartKind : std::uint8_t {
  gpu,             ///< takes its node out
  node,            ///< all of a node but its GPUs and NICs
  network_switch,  ///< takes out the nodes below it
  link,            ///< a NIC with its cable and its share of the switches; takes its node out
  software         ///< of the job, as often as it has GPUs; takes out nothing
};
inline constexpr std::size_t kNumPartKinds = 5;
/// As in a run file: [reliability.gpu].
[[nodiscard]] std::string_view name_of(PartKind kind);

struct PartFailures {
  std::optional<Sourced<Seconds>> mean_time;  ///< of one part, between failures; without: never
  Sourced<double> shape{1, "", {}};           ///< of the Weibull distribution; 1 is exponential
  Seconds age;                                ///< of every part when the run begins
  std::optional<Sourced<Seconds>> detection;  ///< instead of the Reliability's
  std::optional<Sourced<Seconds>> repair;     ///< likewise
};

/// How long to work between checkpoints.
enum class IntervalRule : std::uint8_t { given, young, daly, search };
[[nodiscard]] std::string_view name_of(IntervalRule rule);

/// Of all nodes together, or of each: the one that is given, or the slower of both.
struct StorageRate {
  std::optional<Sourced<BytesPerSecond>> all;
  std::optional<Sourced<BytesPerSecond>> per_node;

  [[nodiscard]] bool is_given() const { return all || per_node; }
  /// REQUIRES: is_given().
  [[nodiscard]] BytesPerSecond at(std::int64_t nodes) const;
};

struct CheckpointKeys {
  IntervalRule rule = IntervalRule::daly;
  Seconds interval;  ///< where it is given
  bool is_asynchronous = false;
  Sourced<double> blocking;  ///< share of the write for which training stands, when asynchronous
  StorageRate write;
  StorageRate read;           ///< as `write` unless given
  std::optional<Bytes> size;  ///< instead of the model's parameters and optimizer states
};

struct StragglerKeys {
  Sourced<Seconds> mean_time;  ///< of one node, between two slow spells
  Sourced<Seconds> duration;
  Sourced<double> slowdown;  ///< of the step meanwhile, such as 1.06
};

struct MaintenanceKeys {
  Sourced<Seconds> interval;
  Sourced<Seconds> duration;
};

struct Reliability {
  std::string rates;                ///< the data file that the run's keys are laid over
  std::optional<Seconds> duration;  ///< of the run; else until training.tokens are done
  std::array<PartFailures, kNumPartKinds> parts;  ///< by PartKind
  std::int64_t nodes_per_switch = 0;
  Sourced<Seconds> detection;
  Sourced<Seconds> restart;  ///< beside reading the checkpoint
  Sourced<Seconds> swap;     ///< of a node for a spare
  Sourced<Seconds> repair;   ///< of a node, until it is a spare
  std::optional<std::int64_t> spares;
  Sourced<double> spare_share;  ///< of the job's nodes, where `spares` is not given
  std::int64_t shrink = 0;      ///< nodes that the job may do without rather than wait
  std::optional<double> price;  ///< US dollars per GPU and hour
  CheckpointKeys checkpoint;
  std::optional<StragglerKeys> stragglers;
  std::optional<MaintenanceKeys> maintenance;

  [[nodiscard]] const PartFailures& of(PartKind kind) const {
    return parts[static_cast<std::size_t>(kind)];
  }
};

/// What a run says of its own, laid over the data file that it names (`rates`, a file in `folder`
/// or a path relative to `directory`), and that over usual.toml. Nothing: kUsualRates as they are.
/// Throws ConfigError with every mistake.
[[nodiscard]] Reliability load_reliability(config::Sources& sources,
                                           const std::optional<config::Value>& keys,
                                           const std::string& folder, const std::string& directory);

inline constexpr std::string_view kUsualRates = "llama-3-h100";

/// What a data file is about, for `foretrain list`.
[[nodiscard]] std::string reliability_sentence(const std::string& name, const std::string& folder);

/// Every number with its origin, those of the run file too.
[[nodiscard]] std::vector<Fact> facts(const Reliability& reliability);

}  // namespace foretrain::goodput
