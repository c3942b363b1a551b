// Fits the few numbers of a cluster file that say how long collectives take to measured ones, and
// holds a cluster's predictions against them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/config/value.hpp"
#include "validation/calibrate/collective_table.hpp"
#include "validation/calibrate/least_squares.hpp"

namespace foretrain::validation {

/// What the platform predicts for a measured collective.
struct CollectivePoint {
  MeasuredCollective measured;
  std::string algorithm;  ///< with its protocol: "ring LL128"
  Seconds predicted;

  [[nodiscard]] double error() const { return predicted / measured.time - 1; }
};

/// Mean |error| of the rows of one kind on one group, below kLargePayload and from there on.
struct CollectiveCurve {
  std::string source;
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::int64_t gpus = 0;
  std::int64_t nodes = 0;
  std::size_t num_small = 0;
  std::size_t num_large = 0;
  double small = 0;
  double large = 0;
};

/// What curves are held to.
inline constexpr double kSmallTarget = 0.25;
inline constexpr double kLargeTarget = 0.10;

/// Predictions by the cluster as it stands, in the order of the rows. Throws ConfigError for a row
/// that no cluster of this kind can have measured.
[[nodiscard]] std::vector<CollectivePoint> predict(const std::vector<MeasuredCollective>& rows,
                                                   const Cluster& cluster);
[[nodiscard]] std::vector<CollectiveCurve> curves_of(const std::vector<CollectivePoint>& points);

/// One fitted number: a dotted key of the cluster's file.
struct FittedKey {
  std::string key;
  std::string value;  ///< as it stands in the file: "12 us", "0.81"
  Estimate estimate;
};

struct CollectiveCalibration {
  Cluster cluster;
  std::vector<FittedKey> keys;
  std::vector<CollectivePoint> points;
  std::map<std::string, int> rejected;
  std::string toml;  ///< the cluster's file
};

struct CalibrateCollectivesOptions {
  std::string command;            ///< written into the file
  std::vector<std::string> keep;  ///< keys that stay as the base file has them: "node.achieved"
};

/// Loads a cluster from a tree of its file.
using LoadCluster = std::function<Cluster(const config::Value& tree)>;

/// Rows on one node fit the table [node], then rows on several fit [fabric]: achieved,
/// collective_latency, latency_multiplier, half_rate_payload, and in_switch_reduction where a row
/// was measured with it. Robust least squares on the logarithm of times; one row's weight draws
/// latency_multiplier towards one, NCCL's own table. `base` is the cluster's file, loaded by
/// `load`.
[[nodiscard]] CollectiveCalibration calibrate_collectives(
    CollectiveTable table, const config::Value& base, const LoadCluster& load,
    const CalibrateCollectivesOptions& options);

/// Keys, one line per row, curves against the targets, rejected rows.
[[nodiscard]] std::string text_of(const CollectiveCalibration& calibration);
/// Curves alone, one line each.
[[nodiscard]] std::string curve_table(const std::vector<CollectiveCurve>& curves);

}  // namespace foretrain::validation
