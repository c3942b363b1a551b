// What the unit types allow, what they refuse to compile, and what their literals mean.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/units.hpp"

#include <concepts>
#include <type_traits>

#include "sim/core/ids.hpp"
#include "tests/support/catch.hpp"

namespace foretrain {
namespace {

template <class A, class B>
concept Addable = requires(A a, B b) {
  a + b;
};
template <class A, class B>
concept Comparable = requires(A a, B b) {
  a < b;
};

static_assert(Addable<Bytes, Bytes>);
static_assert(!Addable<Bytes, Seconds>);
static_assert(!Addable<Bytes, BytesPerSecond>);
static_assert(!Addable<Flops, Bytes>);
static_assert(!Addable<Bytes, double>);
static_assert(!Comparable<Seconds, Bytes>);
static_assert(!std::convertible_to<double, Bytes>);
static_assert(!std::convertible_to<Bytes, double>);
static_assert(!std::is_assignable_v<Seconds&, Hertz>);

template <class A, class B, class Result>
constexpr bool kDividesTo = std::same_as<decltype(A() / B()), Result>;
template <class A, class B, class Result>
constexpr bool kMultipliesTo = std::same_as<decltype(A() * B()), Result>;

static_assert(kDividesTo<Bytes, BytesPerSecond, Seconds>);
static_assert(kDividesTo<Bytes, Seconds, BytesPerSecond>);
static_assert(kDividesTo<Flops, FlopsPerSecond, Seconds>);
static_assert(kDividesTo<Bytes, Bytes, double>);
static_assert(kMultipliesTo<BytesPerSecond, Seconds, Bytes>);
static_assert(kMultipliesTo<Seconds, FlopsPerSecond, Flops>);
static_assert(kMultipliesTo<Bytes, Hertz, BytesPerSecond>);
static_assert(kMultipliesTo<Bytes, double, Bytes>);

// A quantity costs what a double costs.
static_assert(sizeof(Bytes) == sizeof(double));
static_assert(std::is_trivially_copyable_v<Seconds>);

// A rank is not a device, and a number is neither.
static_assert(!std::is_assignable_v<Rank&, DeviceId>);
static_assert(!std::convertible_to<std::size_t, Rank>);

TEST_CASE("a lower-case b is a bit, so 400 Gb/s carry 50 GB/s", "[core]") {
  CHECK(400_Gbps == 50_GBps);
}

TEST_CASE("GB counts in thousands and GiB in 1024s", "[core]") {
  CHECK(1_GB == 1000_MB);
  CHECK(1_GiB == 1024_MiB);
  CHECK(1_MiB == 1024_KiB);
  CHECK(1_KiB == 1024_B);
  CHECK((1_GiB - 1_GB).value == 73'741'824);  // 2^30 - 10^9
}

TEST_CASE("time is bytes over rate", "[core]") {
  // 80 GB at 2 TB/s: 80e9 / 2e12 = 0.04 s.
  CHECK((80_GB / 2_TBps).value == Catch::Approx((40_ms).value));
  CHECK(1.5_s == 1500_ms);
}

TEST_CASE("quantities add, scale and compare like numbers", "[core]") {
  Bytes total = 1_GB;
  total += 3_GB;
  total -= 1_GB;
  total *= 2;
  CHECK(total == 6_GB);
  CHECK(2 * total / 4.0 == total / 2.0);
  CHECK(5_us < 1_ms);
  CHECK(6_GB / 3_GB == 2.0);
  CHECK(hypot(3_s, 4_s) == 5_s);
}

TEST_CASE("ids order and index by their number", "[core]") {
  CHECK(Rank(std::size_t{3}) < Rank(std::size_t{4}));
  CHECK(Rank(std::size_t{3}).index() == 3);
  CHECK(std::hash<Rank>()(Rank(std::size_t{3})) == 3);
}

}  // namespace
}  // namespace foretrain
