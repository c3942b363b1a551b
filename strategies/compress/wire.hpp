// Writes collectives and messages of one place, plainly or through the compressor that the run asks
// for: code, send, perhaps add and code again, decode.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "strategies/compress/exchange.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

class CompressedWire {
 public:
  /// REQUIRES: run and writer outlive this.
  CompressedWire(const Run& run, BodyWriter& writer, WirePlace place);

  /// A collective on `stream`, of what `origin` has made so far: it is coded there, and decoded on
  /// `stream` (in chunks: on a stream beside it, for which `stream` waits). REQUIRES: `stream`
  /// waits for `origin` already; `what` names a slot of a whole group.
  void collective(StreamIndex origin, StreamIndex stream, std::string_view name,
                  const Collective& what);
  /// What the compute stream has made goes out on `stream`, which waits for it already.
  void send(StreamIndex stream, std::string_view name, const Send& what);
  /// When `stream` goes on, what came is decoded.
  void receive(StreamIndex stream, std::string_view name, const Recv& what);

  /// What the codec keeps from step to step for this many parameters of the rank.
  void hold_state(std::int64_t parameters);

 private:
  [[nodiscard]] Message message_of(Bytes payload) const;
  [[nodiscard]] const GroupShape& shape(std::uint32_t slot);
  /// A stream beside `stream` for what overlaps with it.
  StreamIndex beside(StreamIndex stream, std::string_view purpose);
  void work(StreamIndex stream, const CodecWork& work);
  void part(StreamIndex stream, std::string_view name, const PartCollective& part,
            std::uint32_t slot);
  void follow(StreamIndex stream, StreamIndex before);

  struct Chunk {
    CodedExchange steps;
    std::optional<EventId> done;  ///< of its last step, on another stream
    StreamIndex at = kCompute;    ///< of its last step
  };
  void write_step(Chunk& chunk, std::size_t step, StreamIndex stream, std::string_view name,
                  std::uint32_t slot);

  const Run& run_;
  BodyWriter& writer_;
  WirePlace place_;
  const WireCompression* how_;  // null: everything goes plainly
  Message form_;                // width, type and matrices of what is sent
  std::map<std::uint32_t, GroupShape> shapes_;
  std::map<std::pair<StreamIndex, std::string_view>, StreamIndex> beside_;
};

}  // namespace foretrain
