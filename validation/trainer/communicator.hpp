// What the trainer asks of Gloo or NCCL: groups of ranks, and their collectives on streams.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "validation/trainer/device.hpp"
#include "validation/trainer/tensor.hpp"

namespace foretrain::trainer {

enum class Reduction : std::uint8_t { sum, maximum };

/// A group of ranks. Calls are enqueued on a stream and may not be done when they return; on one
/// communicator all ranks call in the same order, from one stream at a time. A group of one rank
/// does nothing but copy. Failures throw std::runtime_error, at the latest in synchronize().
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  [[nodiscard]] int rank() const { return rank_; }  ///< within the group
  [[nodiscard]] int size() const { return size_; }

  /// In place; fp32, fp16 (sum) or bf16 (sum).
  virtual void all_reduce(Stream stream, const Tensor& tensor, Reduction reduction) = 0;
  /// out: size() times `in`, by rank; `in` may be its own part of `out`.
  virtual void all_gather(Stream stream, const Tensor& out, const Tensor& in) = 0;
  /// in: size() times `out`; `out` becomes the sum over ranks of the rank's own part, and may be
  /// that part of `in`, whose other parts are not kept. fp32 or fp16.
  virtual void reduce_scatter(Stream stream, const Tensor& out, const Tensor& in) = 0;
  /// Part r of `in` goes to rank r; part r of `out` is from rank r. The two do not overlap.
  virtual void all_to_all(Stream stream, const Tensor& out, const Tensor& in) = 0;
  virtual void send(Stream stream, const Tensor& tensor, int peer) = 0;
  virtual void receive(Stream stream, const Tensor& tensor, int peer) = 0;

 protected:
  Communicator(int rank, int size) : rank_(rank), size_(size) {}

 private:
  int rank_;
  int size_;
};

/// All ranks of a training.
class World {
 public:
  virtual ~World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  /// A new communicator over these ranks of the world, ascending; this rank is one of them. Every
  /// member calls with the same ranks and name; a name is used once by a rank.
  [[nodiscard]] virtual std::unique_ptr<Communicator> group(const std::vector<int>& ranks,
                                                            const std::string& name) = 0;
  /// Every rank's host waits until all have come here.
  virtual void barrier() = 0;
  /// Of a number of each rank; the host waits.
  [[nodiscard]] virtual double maximum(double value) = 0;
  /// "Gloo over TCP", "NCCL 2.27.7".
  [[nodiscard]] virtual std::string description() const = 0;

 protected:
  World(int rank, int size) : rank_(rank), size_(size) {}

 private:
  int rank_;
  int size_;
};

/// Where ranks find one another.
struct Rendezvous {
  int rank = 0;
  int size = 1;
  std::string directory;  ///< empty at the start, seen by all ranks (Gloo's file store)
  std::string interface;  ///< network interface to bind to; empty: loopback
};

/// Gloo over TCP; collectives run on the streams of `device`, which outlives the world.
[[nodiscard]] std::unique_ptr<World> gloo_world(const Rendezvous& where, Device& device);
/// NCCL; its unique ids travel through files in the directory. Throws std::runtime_error where it
/// was not built in.
[[nodiscard]] std::unique_ptr<World> nccl_world(const Rendezvous& where, Device& device);

}  // namespace foretrain::trainer
