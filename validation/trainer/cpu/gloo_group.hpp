// Collectives of one group of ranks by Gloo, on the streams of a processor.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/cpu/streams.hpp"

namespace gloo {
class Context;
}

namespace foretrain::trainer {

/// What a collective needs while it runs. Gloo's context is null in a group of one.
struct GlooCall {
  std::shared_ptr<gloo::Context> context;
  std::chrono::milliseconds timeout;
  std::uint32_t number = 0;  ///< the same on all that take part, and on no other in flight
  /// Of the group: its collectives run one after another.
  std::shared_ptr<std::vector<std::byte>> scratch;
};

class GlooGroup final : public Communicator {
 public:
  struct Members {
    int rank = 0;
    int size = 1;
    std::string name;
  };
  GlooGroup(Members members, std::shared_ptr<gloo::Context> context,
            std::chrono::milliseconds timeout, Streams& streams);

  void all_reduce(Stream stream, const Tensor& tensor, Reduction reduction) override;
  void all_gather(Stream stream, const Tensor& out, const Tensor& in) override;
  void reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) override;
  void all_to_all(Stream stream, const Tensor& out, const Tensor& in) override;
  /// Ends when the peer has received: two ranks that send to each other first, each on one stream,
  /// wait for ever.
  void send(Stream stream, const Tensor& tensor, int peer) override;
  void receive(Stream stream, const Tensor& tensor, int peer) override;

 private:
  using Body = std::function<void(const GlooCall&)>;
  // An exception of the body says what failed, and where.
  void enqueue(Stream stream, std::string_view what, std::uint32_t number, Body body);

  Members members_;
  std::shared_ptr<gloo::Context> context_;
  std::chrono::milliseconds timeout_;
  Streams& streams_;
  std::uint32_t num_collectives_ = 0;
  std::vector<std::uint32_t> num_sent_;      // by peer
  std::vector<std::uint32_t> num_received_;  // by peer
  std::shared_ptr<std::vector<std::byte>> scratch_;
};

}  // namespace foretrain::trainer
