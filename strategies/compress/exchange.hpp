// One collective through a compressor, as steps: coding, and collectives of the group or of its
// parts inside and across nodes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "sim/program/program.hpp"
#include "strategies/compress/compressor.hpp"

namespace foretrain {

/// Where the members of a group are: as many on each of its nodes, or not (`per_node` is 0).
struct GroupShape {
  std::size_t members = 1;
  std::size_t per_node = 1;  ///< members / per_node nodes

  [[nodiscard]] bool spans_nodes() const { return per_node < members; }
  /// Can work inside nodes first, then across them.
  [[nodiscard]] bool has_levels() const { return per_node > 1 && spans_nodes(); }
};

/// Which ranks of a group meet: all; those of one node; or one of each node (who are, inside their
/// nodes, in the same place).
enum class GroupPart : std::uint8_t { all, inside, across };

struct PartCollective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  GroupPart part = GroupPart::all;
  Bytes payload;
  bool is_coded = true;
};

using ExchangeStep = std::variant<CodecWork, PartCollective>;
using CodedExchange = std::vector<ExchangeStep>;

/// What a codec was measured at, in bytes of the message before coding.
struct CodecRates {
  BytesPerSecond encode;
  BytesPerSecond decode;
};

/// How one place is compressed.
struct WireCompression {
  const Compressor* method = nullptr;
  CodecOptions options;
  bool between_nodes_only = false;  ///< messages that stay in a node are not coded
  std::int64_t chunks = 1;          ///< coded and sent one after another, each beside the others
  std::optional<CodecRates> rates = {};  ///< take the place of the codec's kernels
};

// What the GPU does for a message: the codec's kernels, or a fixed time by measured rates.
[[nodiscard]] CodecWork encode_work(const WireCompression& how, const Message& message);
[[nodiscard]] CodecWork decode_work(const WireCompression& how, const Message& message);
/// By rates, a sum of codes decodes each of them.
[[nodiscard]] CodecWork sum_work(const WireCompression& how, const Message& message, double codes);
/// Of a sum in code; by rates, encoding takes the same part of its time before each round.
[[nodiscard]] std::vector<SumRound> sum_rounds(const WireCompression& how, const Message& message);

/// The steps of one collective of `message` (the full vector, as in Collective). Work that is
/// nothing is left out. REQUIRES: all-reduce, all-gather, reduce-scatter or all-to-all.
[[nodiscard]] CodedExchange exchange(CollectiveKind kind, const WireCompression& how,
                                     const Message& message, const GroupShape& group);

/// Whether anything of a group's collectives is coded.
[[nodiscard]] bool is_coded(const WireCompression& how, const GroupShape& group);
/// Whether a collective of the group is carried out in parts, inside and across nodes.
[[nodiscard]] bool uses_levels(CollectiveKind kind, const WireCompression& how,
                               const GroupShape& group);

}  // namespace foretrain
