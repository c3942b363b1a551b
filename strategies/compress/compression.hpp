// The table [compression] of a run file: what is compressed where.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "sim/config/reader.hpp"
#include "strategies/compress/exchange.hpp"

namespace foretrain {

/// What a run compresses, by place.
struct Compression {
  std::array<std::optional<WireCompression>, kWirePlaces.size()> places;
  std::array<config::Position, kWirePlaces.size()> positions;  ///< of the places' tables

  [[nodiscard]] const WireCompression* at(WirePlace place) const {
    const auto& found = places[static_cast<std::size_t>(place)];
    return found ? &*found : nullptr;
  }
  [[nodiscard]] bool is_none() const;
};

[[nodiscard]] Compression read_compression(config::Reader reader);

/// For people: what is compressed, what is known of its effect on accuracy, and what is assumed.
[[nodiscard]] std::vector<std::string> describe(const Compression& compression);

}  // namespace foretrain
