// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/economics.hpp"

#include <CLI/CLI.hpp>

#include "sim/cli/cli.hpp"
#include "sim/study/amounts.hpp"

namespace foretrain::cli {

void add_price_option(CLI::App& app, std::string& price) {
  app.add_option("--price", price, "Per GPU and hour: \"$2.5/h\"");
}

void add_economics_options(CLI::App& app, EconomicsOptions& options) {
  add_price_option(app, options.price);
  app.add_option("--load-power", options.load, "Of a GPU while it computes: \"700 W\"");
  app.add_option("--idle-power", options.idle, "Of a GPU while it waits: \"100 W\"");
  app.add_option("--host-power", options.host, "A GPU's share of the rest of its node: \"350 W\"");
  app.add_option("--pue", options.pue, "Power of the building per power of its machines")
      ->check(CLI::Range(1.0, 5.0));
  app.add_option("--grid", options.grid, "What the grid emits: \"370 g/kWh\"");
}

double read_price(const std::string& text) {
  return amount_of<double>("--price", text, parse_hourly_price, "a price such as \"$2.5/h\"");
}

EconomicsChoice read_choice(const EconomicsOptions& options) {
  EconomicsChoice choice;
  const auto read = [](const std::string& option, const std::string& text, auto parse,
                       const std::string& expected, std::optional<double>& into) {
    if (!text.empty()) {
      into = amount_of<double>(option, text, parse, expected);
    }
  };
  if (!options.price.empty()) {
    choice.price = read_price(options.price);
  }
  read("--load-power", options.load, parse_power, "a power such as \"700 W\"", choice.load);
  read("--idle-power", options.idle, parse_power, "a power such as \"100 W\"", choice.idle);
  read("--host-power", options.host, parse_power, "a power such as \"350 W\"", choice.host);
  read("--grid", options.grid, parse_grid, "an intensity such as \"370 g/kWh\"", choice.grid);
  if (options.pue > 0) {
    choice.pue = options.pue;
  }
  return choice;
}

Economics economics_of(const Cluster& cluster, const EconomicsChoice& choice) {
  config::Sources sources;
  return load_economics(sources, data_root() + "/platforms/prices.toml", cluster, choice);
}

}  // namespace foretrain::cli
