// SPDX-License-Identifier: Apache-2.0
// Robust least squares against closed forms.
#include "validation/calibrate/least_squares.hpp"

#include <cmath>
#include <vector>

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinAbs;
using validation::robust_fit;

TEST_CASE("a line through noisy points has the slope and interval of the text book",
          "[calibrate]") {
  // y = 2 x + 1 with residuals +-0.1 in turn at x = 0..9: the intercept and slope of ordinary least
  // squares, whose residuals all stay within Huber's knee.
  const auto y_at = [](int x) { return 2.0 * x + 1.0 + (x % 2 == 0 ? 0.1 : -0.1); };
  const auto residuals = [&](const std::vector<double>& p) {
    std::vector<double> all;
    for (int x = 0; x < 10; ++x) {
      all.push_back(p[0] + p[1] * x - y_at(x));
    }
    return all;
  };
  const auto fit = robust_fit({{0, -10, 10}, {0, -10, 10}}, residuals);
  // Sxy of the noise: 0.1 * (20 - 25) = -0.5, Sxx = 82.5: slope 2 - 0.5 / 82.5 = 1.99394, intercept
  // 1 + 4.5 * 0.5 / 82.5 = 1.02727; s^2 = (0.1 - 0.5^2 / 82.5) / 8, 1.96 sqrt(s^2 / 82.5) =
  // 0.02374.
  CHECK_THAT(fit.parameters[1].value, WithinAbs(1.99394, 1e-5));
  CHECK_THAT(fit.parameters[0].value, WithinAbs(1.02727, 1e-5));
  CHECK_THAT(fit.parameters[1].half_width, WithinAbs(0.02377, 2e-4));
}

TEST_CASE("an outlier pulls a robust mean by no more than its knee", "[calibrate]") {
  std::vector<double> values(100, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 5 + 0.01 * (static_cast<double>(i % 11) - 5);
  }
  values.back() = 1000;
  const auto fit = robust_fit({{0, -100, 100}}, [&](const std::vector<double>& p) {
    std::vector<double> all;
    for (const double value : values) {
      all.push_back(p[0] - value);
    }
    return all;
  });
  CHECK_THAT(fit.parameters[0].value, WithinAbs(5, 0.01));  // the mean is 14.95
}

TEST_CASE("a parameter stops at its bound, without an interval", "[calibrate]") {
  const auto fit = robust_fit({{0.5, 0, 1}, {0, -5, 5}}, [](const std::vector<double>& p) {
    return std::vector<double>{p[0] - 2, p[1] - 3, p[1] - 3.1, p[0] - 2.1};
  });
  CHECK_THAT(fit.parameters[0].value, WithinAbs(1, 1e-9));
  CHECK(fit.parameters[0].half_width == 0);
  CHECK_THAT(fit.parameters[1].value, WithinAbs(3.05, 0.051));
}

}  // namespace
}  // namespace foretrain::testing
