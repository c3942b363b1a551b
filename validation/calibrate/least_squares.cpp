// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/least_squares.hpp"

#include <algorithm>
#include <cmath>

#include <Eigen/Dense>

#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

constexpr double kHuber = 1.345;         // 95 % efficient on normal residuals (Huber 1981)
constexpr double kMedianScale = 1.4826;  // of a normal distribution
constexpr double kLeastScale = 1e-9;
constexpr int kSteps = 200;

Eigen::VectorXd vector_of(const std::vector<double>& values) {
  return Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Eigen::Index>(values.size()));
}

double scale_of(const Eigen::VectorXd& residuals) {
  std::vector<double> sizes(residuals.data(), residuals.data() + residuals.size());
  for (double& size : sizes) {
    size = std::abs(size);
  }
  const auto middle = sizes.begin() + static_cast<std::ptrdiff_t>(sizes.size() / 2);
  std::nth_element(sizes.begin(), middle, sizes.end());
  return std::max(kLeastScale, kMedianScale * *middle);
}

double loss(const Eigen::VectorXd& residuals, double scale) {
  const double knee = kHuber * scale;
  double sum = 0;
  for (const double residual : residuals) {
    const double size = std::abs(residual);
    sum += size <= knee ? 0.5 * size * size : knee * (size - 0.5 * knee);
  }
  return sum / static_cast<double>(residuals.size());
}

class Minimiser {
 public:
  Minimiser(const std::vector<Bounded>& parameters, const Residuals& residuals, double scale)
      : bounds_(parameters), residuals_(residuals), is_scale_fixed_(scale > 0), scale_(scale) {
    for (const Bounded& parameter : bounds_) {
      point_.push_back(std::clamp(parameter.start, parameter.least, parameter.most));
    }
    now_ = vector_of(residuals_(point_));
  }

  RobustFit run() {
    double damping = 1e-3;
    for (int step = 0; step < kSteps && damping < 1e12; ++step) {
      if (!is_scale_fixed_) {
        scale_ = scale_of(now_);
      }
      const Eigen::MatrixXd slopes = jacobian();
      const bool has_moved = try_steps(slopes, damping);
      if (!has_moved) {
        break;
      }
    }
    return finish();
  }

 private:
  [[nodiscard]] Eigen::VectorXd weights() const {
    Eigen::VectorXd weights(now_.size());
    for (Eigen::Index i = 0; i < now_.size(); ++i) {
      weights[i] = std::min(1.0, kHuber * scale_ / std::max(kLeastScale, std::abs(now_[i])));
    }
    return weights;
  }

  [[nodiscard]] double increment(std::size_t index) const {
    return 1e-6 * (bounds_[index].most - bounds_[index].least);
  }

  // Central differences, one-sided at a bound.
  [[nodiscard]] Eigen::MatrixXd jacobian() const {
    Eigen::MatrixXd slopes(now_.size(), static_cast<Eigen::Index>(point_.size()));
    for (std::size_t i = 0; i < point_.size(); ++i) {
      std::vector<double> low = point_;
      std::vector<double> high = point_;
      low[i] = std::max(bounds_[i].least, low[i] - increment(i));
      high[i] = std::min(bounds_[i].most, high[i] + increment(i));
      slopes.col(static_cast<Eigen::Index>(i)) =
          (vector_of(residuals_(high)) - vector_of(residuals_(low))) / (high[i] - low[i]);
    }
    return slopes;
  }

  // A parameter at a bound that the gradient pushes against does not move.
  [[nodiscard]] bool is_stuck(std::size_t index, double gradient) const {
    const double room = 2 * increment(index);
    return (point_[index] <= bounds_[index].least + room && gradient > 0) ||
           (point_[index] >= bounds_[index].most - room && gradient < 0);
  }

  bool try_steps(const Eigen::MatrixXd& slopes, double& damping) {
    const Eigen::VectorXd root = weights().cwiseSqrt();
    Eigen::MatrixXd weighted = root.asDiagonal() * slopes;
    const Eigen::VectorXd target = root.cwiseProduct(now_);
    const Eigen::VectorXd gradient = weighted.transpose() * target;
    for (std::size_t i = 0; i < point_.size(); ++i) {
      if (is_stuck(i, gradient[static_cast<Eigen::Index>(i)])) {
        weighted.col(static_cast<Eigen::Index>(i)).setZero();
      }
    }
    const double before = loss(now_, scale_);
    while (damping < 1e12) {
      const std::vector<double> next = moved(damped_step(weighted, target, damping));
      const Eigen::VectorXd then = vector_of(residuals_(next));
      if (then.allFinite() && loss(then, scale_) < before * (1 - 1e-12)) {
        point_ = next;
        now_ = then;
        damping = std::max(1e-12, damping / 9);
        return true;
      }
      damping *= 4;
    }
    return false;
  }

  // Minimises |W J d + W r|^2 + damping |D d|^2 by QR of the stacked system.
  [[nodiscard]] static Eigen::VectorXd damped_step(const Eigen::MatrixXd& weighted,
                                                   const Eigen::VectorXd& target, double damping) {
    const Eigen::Index rows = weighted.rows();
    const Eigen::Index columns = weighted.cols();
    Eigen::MatrixXd stacked = Eigen::MatrixXd::Zero(rows + columns, columns);
    stacked.topRows(rows) = weighted;
    for (Eigen::Index i = 0; i < columns; ++i) {
      const double norm = weighted.col(i).norm();
      stacked(rows + i, i) = norm > 0 ? std::sqrt(damping) * norm : 1.0;
    }
    Eigen::VectorXd right = Eigen::VectorXd::Zero(rows + columns);
    right.head(rows) = -target;
    return stacked.colPivHouseholderQr().solve(right);
  }

  [[nodiscard]] std::vector<double> moved(const Eigen::VectorXd& step) const {
    std::vector<double> next = point_;
    for (std::size_t i = 0; i < next.size(); ++i) {
      next[i] = std::clamp(next[i] + step[static_cast<Eigen::Index>(i)], bounds_[i].least,
                           bounds_[i].most);
    }
    return next;
  }

  RobustFit finish() {
    RobustFit fit;
    if (!is_scale_fixed_) {
      scale_ = scale_of(now_);
    }
    fit.scale = scale_;
    fit.cost = loss(now_, scale_);
    const Eigen::VectorXd widths = half_widths();
    for (std::size_t i = 0; i < point_.size(); ++i) {
      fit.parameters.push_back({point_[i], widths[static_cast<Eigen::Index>(i)]});
    }
    return fit;
  }

  // 1.96 standard errors from (J' W J)^-1 times the weighted variance; parameters at a bound are
  // taken as known.
  [[nodiscard]] Eigen::VectorXd half_widths() const {
    const Eigen::MatrixXd slopes = jacobian();
    const Eigen::VectorXd weight = weights();
    Eigen::MatrixXd information = slopes.transpose() * weight.asDiagonal() * slopes;
    std::vector<Eigen::Index> fixed;
    for (std::size_t i = 0; i < point_.size(); ++i) {
      const double room = 2 * increment(i);
      const auto at = static_cast<Eigen::Index>(i);
      if (point_[i] <= bounds_[i].least + room || point_[i] >= bounds_[i].most - room ||
          information(at, at) <= 0) {
        information.row(at).setZero();
        information.col(at).setZero();
        information(at, at) = 1;
        fixed.push_back(at);
      }
    }
    const auto freedom = static_cast<double>(now_.size()) - static_cast<double>(point_.size());
    const double variance = weight.dot(now_.cwiseProduct(now_)) / std::max(1.0, freedom);
    Eigen::VectorXd widths =
        1.96 * (variance * information.completeOrthogonalDecomposition().pseudoInverse().diagonal())
                   .cwiseMax(0.0)
                   .cwiseSqrt();
    for (const Eigen::Index at : fixed) {
      widths[at] = 0;
    }
    return widths;
  }

  const std::vector<Bounded>& bounds_;
  const Residuals& residuals_;
  bool is_scale_fixed_;
  double scale_;
  std::vector<double> point_;
  Eigen::VectorXd now_;
};

}  // namespace

RobustFit robust_fit(const std::vector<Bounded>& parameters, const Residuals& residuals,
                     double scale) {
  FORETRAIN_ASSERT(!parameters.empty(), "a fit needs parameters");
  return Minimiser(parameters, residuals, scale).run();
}

}  // namespace foretrain::validation
