// The sizes of a mixture of experts on one rank: how many rows come to how many experts how wide.
// Inside models/blocks only.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "models/blocks/parts.hpp"

namespace foretrain::blocks {

struct Routed {
  std::int64_t tokens;   ///< that this rank routes
  std::int64_t experts;  ///< on this rank
  std::int64_t rows;     ///< of one of them, rounded up
  double copies;         ///< elements of the copies that this rank sends, tokens x k x h
  double arrived;        ///< elements of the rows that come to it; as many without t'
  std::int64_t ffn;      ///< of an expert, on this rank

  Routed(const Model& model, const Shard& shard);

  [[nodiscard]] double elements(std::int64_t width) const {
    return static_cast<double>(tokens) * static_cast<double>(width);
  }
};

/// In the region every tensor-parallel rank routes all tokens itself, from replicated weights.
[[nodiscard]] Linear router_of(const Model& model, const Shard& shard, const Routed& routed);

struct Experts {
  Linear up;
  Linear down;
  double inner;  ///< elements between them
};
[[nodiscard]] Experts experts_of(const Model& model, const Shard& shard, const Routed& routed);

/// What every token visits: an MLP of its own, which every rank holds 1/t of.
struct SharedExperts {
  Linear up;
  Linear down;
  Linear gate;
  double inner;
};
[[nodiscard]] SharedExperts shared_of(const Model& model, const Shard& shard, const Routed& routed);

}  // namespace foretrain::blocks
