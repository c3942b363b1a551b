// "450 GB/s" <-> BytesPerSecond. One grammar: number, optional space, SI or binary prefix, unit.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/core/units.hpp"

namespace foretrain::config {

/// Parses `text` as a quantity of type Q; nothing when the number, prefix or unit is wrong.
/// Bytes: B, kB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB. BytesPerSecond: the same with /s,
/// and b/s, kb/s, Mb/s, Gb/s, Tb/s (bits; eight to a byte). Seconds: s, ms, us, ns, min, h, d.
/// FlopsPerSecond: FLOP/s with k, M, G, T, P, E. Flops: FLOP likewise. Hertz: Hz, kHz, MHz, GHz.
/// Case matters: b is a bit, B a byte. Values must be finite and not negative.
template <class Q>
[[nodiscard]] std::optional<Q> parse_quantity(std::string_view text);

/// Why `text` is not a Q, in words to follow it in an error message, such as "a size, not a rate".
/// REQUIRES: parse_quantity<Q>(text) is empty.
template <class Q>
[[nodiscard]] std::string quantity_mistake(std::string_view text);

/// An example of the spelling, for error messages: a size such as "80 GB".
template <class Q>
[[nodiscard]] std::string expected_quantity();

/// "1.9 TB/s": three significant digits and the largest prefix that keeps the number at least 1.
[[nodiscard]] std::string show(Bytes);
[[nodiscard]] std::string show(BytesPerSecond);
[[nodiscard]] std::string show(Seconds);
[[nodiscard]] std::string show(Flops);
[[nodiscard]] std::string show(FlopsPerSecond);

/// A plain count with an optional decimal suffix, such as "472 G" or "1.5 T" (k, M, G, T, P, E).
[[nodiscard]] std::optional<double> parse_count(std::string_view text);

}  // namespace foretrain::config
