// Options that say what GPU time costs and draws, the same for all commands that ask.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sim/study/economics.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's name
class App;
}  // namespace CLI

namespace foretrain::cli {

/// As they were written; empty: platforms/prices.toml says it, if it knows the GPU.
struct EconomicsOptions {
  std::string price;
  std::string load;
  std::string idle;
  std::string host;
  double pue = 0;
  std::string grid;
};
void add_economics_options(CLI::App& app, EconomicsOptions& options);
/// --price alone.
void add_price_option(CLI::App& app, std::string& price);

/// Throws ConfigError, here and below, for an amount that cannot be read.
[[nodiscard]] double read_price(const std::string& text);
[[nodiscard]] EconomicsChoice read_choice(const EconomicsOptions& options);

/// What is known of the price and the power of a cluster's GPUs.
[[nodiscard]] Economics economics_of(const Cluster& cluster, const EconomicsChoice& choice = {});

}  // namespace foretrain::cli
