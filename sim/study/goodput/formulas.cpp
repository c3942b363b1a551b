// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/formulas.hpp"

#include <cmath>

namespace foretrain::goodput {

Seconds young_interval(Seconds stall, Seconds between_failures) {
  return Seconds(std::sqrt(2 * stall.value * between_failures.value));
}

Seconds daly_interval(Seconds stall, Seconds between_failures) {
  if (stall >= 2.0 * between_failures) {
    return between_failures;
  }
  const double x = stall / (2.0 * between_failures);
  return young_interval(stall, between_failures) * (1 + std::sqrt(x) / 3 + x / 9) - stall;
}

double daly_efficiency(const Renewal& renewal) {
  const double segment = (renewal.interval + renewal.stall) / renewal.between_failures;
  const double recovery = renewal.recovery / renewal.between_failures;
  return renewal.interval / (renewal.between_failures * std::exp(recovery) * std::expm1(segment));
}

double first_order_efficiency(const Renewal& renewal) {
  return 1 - renewal.stall / renewal.interval -
         (renewal.recovery + renewal.interval / 2.0) / renewal.between_failures;
}

double kokolis_ettr(const Renewal& renewal) {
  return (1 - (renewal.recovery + renewal.interval / 2.0) / renewal.between_failures) /
         (1 + renewal.stall / renewal.interval);
}

double busy_share(Seconds duration, Seconds between) { return -std::expm1(-(duration / between)); }

}  // namespace foretrain::goodput
