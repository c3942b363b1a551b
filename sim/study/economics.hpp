// What GPU time costs, draws and emits: dated examples from platforms/prices.toml, or the user's
// own numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

/// Per GPU; of mixed kinds the mean over the nodes.
struct Economics {
  std::optional<double> price;     ///< US dollars per GPU and hour
  std::optional<double> load;      ///< watts of the GPU while it computes or communicates
  std::optional<double> idle;      ///< while it waits
  std::optional<double> host;      ///< its share of the rest of the node
  double pue = 1;                  ///< power of the building per power of the machines
  double grid = 0;                 ///< grams of CO2 equivalent per kWh
  std::vector<std::string> notes;  ///< which examples are used, with date and source

  [[nodiscard]] bool has_power() const { return load && idle && host; }
};

/// Numbers that the user gave instead.
struct EconomicsChoice {
  std::optional<double> price;
  std::optional<double> load;
  std::optional<double> idle;
  std::optional<double> host;
  std::optional<double> pue;
  std::optional<double> grid;
};

/// For the GPUs of a cluster. Where the data file lacks one and the user gave nothing, that number
/// is missing. Throws ConfigError for mistakes of the file.
[[nodiscard]] Economics load_economics(config::Sources& sources, const std::string& path,
                                       const Cluster& cluster, const EconomicsChoice& choice);

/// "700 W per GPU at load, 100 W waiting, ...", or which options would say it.
[[nodiscard]] std::string power_text(const Economics& economics);

/// What a training comes to.
struct Bill {
  double gpu_hours = 0;
  std::optional<double> dollars;
  std::optional<double> megawatt_hours;  ///< of the building
  std::optional<double> tonnes;          ///< of CO2 equivalent, of that energy alone
};

/// `idle_share` of the time a GPU waits (pipeline bubble, host); the rest it draws its load.
[[nodiscard]] Bill bill_of(const Economics& economics, std::int64_t gpus, Seconds time,
                           double idle_share);

}  // namespace foretrain
