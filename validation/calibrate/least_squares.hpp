// Robust nonlinear least squares within bounds: Levenberg-Marquardt steps on Huber-weighted
// residuals, and the covariance of what was found. Deterministic.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

namespace foretrain::validation {

struct Bounded {
  double start = 0;
  double least = 0;
  double most = 1;
};

struct Estimate {
  double value = 0;
  double half_width = 0;  ///< of the 95 % interval, as if rows were independent; 0 at a bound
};

struct RobustFit {
  std::vector<Estimate> parameters;
  double cost = 0;   ///< mean Huber loss of the residuals at the scale below
  double scale = 0;  ///< 1.4826 times the median of the absolute residuals
};

/// Residuals at these parameters, always as many.
using Residuals = std::function<std::vector<double>(const std::vector<double>& parameters)>;

/// `scale` fixes the scale of the loss, so that costs of several forms compare; 0 estimates it.
/// REQUIRES: at least one residual and one parameter, starts within bounds.
[[nodiscard]] RobustFit robust_fit(const std::vector<Bounded>& parameters,
                                   const Residuals& residuals, double scale = 0);

}  // namespace foretrain::validation
