// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/failures.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "sim/core/random.hpp"

namespace foretrain::goodput {

Hertz rate_of(const Parts& parts) {
  return Hertz(static_cast<double>(parts.count) / parts.mean_time.value);
}

double draw(const RunKey& key, std::uint64_t stream, std::uint64_t index) {
  // The middles of 2^52 equal steps, so neither 0 nor 1.
  const std::uint64_t word = random_word({key.seed, key.run, stream, index});
  return (static_cast<double>(word >> 12U) + 0.5) * 0x1p-52;
}

FailureClock::FailureClock(const Parts& parts, const RunKey& key, std::uint64_t stream)
    : parts_(parts), key_(key), stream_(stream) {
  if (parts.count == 0 || parts.mean_time == kNever) {
    return;
  }
  const bool is_poisson = parts.shape == 1;
  // The mean of a Weibull distribution is its scale times Gamma(1 + 1 / shape) (Johnson, Kotz,
  // Balakrishnan, "Continuous univariate distributions", volume 1, chapter 21).
  scale_ = parts.mean_time.value / std::tgamma(1 + 1 / parts.shape);
  if (is_poisson) {
    scale_ /= static_cast<double>(parts.count);
  }
  const std::int64_t clocks = is_poisson ? 1 : parts.count;
  pending_.reserve(static_cast<std::size_t>(clocks));
  for (std::int64_t i = 0; i < clocks; ++i) {
    pending_.push_back(life(is_poisson ? Seconds(0) : parts.age).value);
  }
  std::make_heap(pending_.begin(), pending_.end(), std::greater<>());
}

// What is left of the life of a part that has reached `age`: survival from a to a + x is
// exp((a / s)^k - ((a + x) / s)^k), which a uniform number is set equal to.
Seconds FailureClock::life(Seconds age) {
  const double exponential = -std::log(draw(key_, stream_, drawn_++));
  const double spent = std::pow(age.value / scale_, parts_.shape);
  return Seconds(scale_ * std::pow(spent + exponential, 1 / parts_.shape) - age.value);
}

Seconds FailureClock::next() const { return pending_.empty() ? kNever : Seconds(pending_.front()); }

void FailureClock::advance() {
  std::pop_heap(pending_.begin(), pending_.end(), std::greater<>());
  pending_.back() += life(Seconds(0)).value;
  std::push_heap(pending_.begin(), pending_.end(), std::greater<>());
}

}  // namespace foretrain::goodput
