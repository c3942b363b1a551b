// Physical quantities: a double that carries the exponents of byte, FLOP and second, so that
// bytes / rate is a time and bytes + seconds does not compile. Sizes of a zero-overhead double.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <compare>

namespace foretrain {

/// A value in base units: bytes^B * FLOP^F * seconds^S. `.value` is for parsers, printers and fits.
template <int B, int F, int S>
struct Quantity {
  double value = 0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(double base_units) : value(base_units) {}

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity& operator+=(Quantity other) {
    value += other.value;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity other) {
    value -= other.value;
    return *this;
  }
  constexpr Quantity& operator*=(double factor) {
    value *= factor;
    return *this;
  }
};

using Bytes = Quantity<1, 0, 0>;
using Flops = Quantity<0, 1, 0>;
using Seconds = Quantity<0, 0, 1>;
using BytesPerSecond = Quantity<1, 0, -1>;
using FlopsPerSecond = Quantity<0, 1, -1>;
using Hertz = Quantity<0, 0, -1>;

template <int B, int F, int S>
constexpr Quantity<B, F, S> operator+(Quantity<B, F, S> a, Quantity<B, F, S> b) {
  return Quantity<B, F, S>(a.value + b.value);
}
template <int B, int F, int S>
constexpr Quantity<B, F, S> operator-(Quantity<B, F, S> a, Quantity<B, F, S> b) {
  return Quantity<B, F, S>(a.value - b.value);
}
template <int B, int F, int S>
constexpr Quantity<B, F, S> operator*(Quantity<B, F, S> a, double factor) {
  return Quantity<B, F, S>(a.value * factor);
}
template <int B, int F, int S>
constexpr Quantity<B, F, S> operator*(double factor, Quantity<B, F, S> a) {
  return a * factor;
}
template <int B, int F, int S>
constexpr Quantity<B, F, S> operator/(Quantity<B, F, S> a, double divisor) {
  return Quantity<B, F, S>(a.value / divisor);
}
/// The ratio of two like quantities is a plain number.
template <int B, int F, int S>
constexpr double operator/(Quantity<B, F, S> a, Quantity<B, F, S> b) {
  return a.value / b.value;
}
template <int B1, int F1, int S1, int B2, int F2, int S2>
requires(B1 != B2 || F1 != F2 || S1 != S2) constexpr auto operator/(Quantity<B1, F1, S1> a,
                                                                    Quantity<B2, F2, S2> b) {
  return Quantity<B1 - B2, F1 - F2, S1 - S2>(a.value / b.value);
}
template <int B1, int F1, int S1, int B2, int F2, int S2>
requires(B1 + B2 != 0 || F1 + F2 != 0 || S1 + S2 != 0) constexpr auto operator*(
    Quantity<B1, F1, S1> a, Quantity<B2, F2, S2> b) {
  return Quantity<B1 + B2, F1 + F2, S1 + S2>(a.value * b.value);
}

/// The quadrature sum of two like quantities, sqrt(a^2 + b^2).
template <int B, int F, int S>
Quantity<B, F, S> hypot(Quantity<B, F, S> a, Quantity<B, F, S> b) {
  return Quantity<B, F, S>(std::hypot(a.value, b.value));
}

// Literals: 80_GB, 16_KiB, 3.35_TBps, 400_Gbps (a lower-case b is a bit), 5_us, 989_TFLOPs.
inline namespace literals {
#define FORETRAIN_LITERAL(type, suffix, factor)              \
  constexpr type operator""_##suffix(long double v) {        \
    return type(static_cast<double>(v) * (factor));          \
  }                                                          \
  constexpr type operator""_##suffix(unsigned long long v) { \
    return type(static_cast<double>(v) * (factor));          \
  }
FORETRAIN_LITERAL(Bytes, B, 1.0)
FORETRAIN_LITERAL(Bytes, MB, 1e6)
FORETRAIN_LITERAL(Bytes, GB, 1e9)
FORETRAIN_LITERAL(Bytes, KiB, 1024.0)
FORETRAIN_LITERAL(Bytes, MiB, 1024.0 * 1024)
FORETRAIN_LITERAL(Bytes, GiB, 1024.0 * 1024 * 1024)
FORETRAIN_LITERAL(BytesPerSecond, GBps, 1e9)
FORETRAIN_LITERAL(BytesPerSecond, TBps, 1e12)
FORETRAIN_LITERAL(BytesPerSecond, Gbps, 1e9 / 8)
FORETRAIN_LITERAL(Seconds, s, 1.0)
FORETRAIN_LITERAL(Seconds, ms, 1e-3)
FORETRAIN_LITERAL(Seconds, us, 1e-6)
FORETRAIN_LITERAL(Flops, FLOP, 1.0)
FORETRAIN_LITERAL(FlopsPerSecond, TFLOPs, 1e12)
#undef FORETRAIN_LITERAL
}  // namespace literals

}  // namespace foretrain
