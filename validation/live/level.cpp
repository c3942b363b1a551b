// SPDX-License-Identifier: Apache-2.0
#include "validation/live/level.hpp"

#include <algorithm>

#include "platforms/gpu.hpp"

namespace foretrain::live {
namespace {

// Legend: T = measured; x = 1 / sustained; h = host per layer; T ~ a + b x + c h, each over T.
struct Terms {
  double a = 0;
  double b = 0;
  double c = 0;
};

Terms terms_of(const LoneStep& step) {
  const double b = (step.at_half_level - step.predicted) / step.measured;  // 1 / 0.5 - 1 / 1 = 1
  const double c =
      (step.with_host - step.predicted) / step.measured / std::max(step.host.value, 1e-12);
  return {step.predicted / step.measured - b, b, c};
}

double least_x() { return 1 / kMostSustained; }
double most_x() { return 1 / kLeastSustained; }

// x alone: minimises the sum of (1 - a - b x)^2.
Level without_host(const std::vector<Terms>& all) {
  double top = 0;
  double bottom = 0;
  for (const Terms& terms : all) {
    top += terms.b * (1 - terms.a);
    bottom += terms.b * terms.b;
  }
  const double x = bottom > 0 ? top / bottom : 1;
  return {1 / std::clamp(x, least_x(), most_x()), Seconds(0)};
}

}  // namespace

Level fit_level(const std::vector<LoneStep>& steps) {
  std::vector<Terms> all;
  all.reserve(steps.size());
  for (const LoneStep& step : steps) {
    all.push_back(terms_of(step));
  }
  if (all.size() < 2) {
    return without_host(all);
  }
  // Normal equations of both.
  double bb = 0;
  double bc = 0;
  double cc = 0;
  double b1 = 0;
  double c1 = 0;
  for (const Terms& terms : all) {
    bb += terms.b * terms.b;
    bc += terms.b * terms.c;
    cc += terms.c * terms.c;
    b1 += terms.b * (1 - terms.a);
    c1 += terms.c * (1 - terms.a);
  }
  const double determinant = bb * cc - bc * bc;
  if (determinant <= 1e-9 * bb * cc) {  // the models do not tell the two apart
    return without_host(all);
  }
  const double x = (b1 * cc - c1 * bc) / determinant;
  const double h = (bb * c1 - bc * b1) / determinant;
  if (h < 0 || x < least_x() || x > most_x()) {
    return without_host(all);
  }
  return {1 / x, Seconds(h)};
}

}  // namespace foretrain::live
