// What is known in closed form about checkpoints and failures. The simulation is held against these
// in the tests, and the report prints them beside it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/core/units.hpp"

namespace foretrain::goodput {

// C = what a checkpoint stalls training for, M = mean time between failures of the job, tau = work
// between checkpoints, R = from a failure until training goes on (detection, replacement, restart).

/// sqrt(2 C M): Young, "A first order approximation to the optimum checkpoint interval", CACM 17
/// (1974).
[[nodiscard]] Seconds young_interval(Seconds stall, Seconds between_failures);

/// sqrt(2 C M) [1 + sqrt(C / 2M) / 3 + C / 2M / 9] - C where C < 2M, else M: Daly, "A higher order
/// estimate of the optimum checkpoint interval for restart dumps", Future Generation Computer
/// Systems 22 (2006), eq. 37.
[[nodiscard]] Seconds daly_interval(Seconds stall, Seconds between_failures);

/// What the formulas ask for; all of them positive but for stall and recovery, which may be 0.
struct Renewal {
  Seconds interval;          ///< tau
  Seconds stall;             ///< C
  Seconds recovery;          ///< R
  Seconds between_failures;  ///< M
};

/// Useful work over wall time of a long run with exponential failures, which may hit checkpoints
/// and recoveries too: tau / (M exp(R / M) (exp((tau + C) / M) - 1)). Daly 2006, eq. 20, solved for
/// the ratio; exact.
[[nodiscard]] double daly_efficiency(const Renewal& renewal);

/// 1 - C / tau - (R + tau / 2) / M: the first order of the same.
[[nodiscard]] double first_order_efficiency(const Renewal& renewal);

/// (1 - (R + tau / 2) / M) / (1 + C / tau): the expected effective training time ratio of Kokolis
/// et al., "Revisiting reliability in large-scale machine learning research clusters", HPCA 2025
/// (arXiv:2410.21680), without queueing; M = 1 / (nodes x failures per node and time).
[[nodiscard]] double kokolis_ettr(const Renewal& renewal);

/// The share of time in which at least one of Poisson arrivals of this rate, each of this length,
/// is there: 1 - exp(-duration / between). Takacs, "Introduction to the theory of queues" (1962):
/// an M/G/infinity queue is empty with probability exp(-load).
[[nodiscard]] double busy_share(Seconds duration, Seconds between);

}  // namespace foretrain::goodput
