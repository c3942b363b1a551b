// Ranks as threads of one process, each with a processor of its own: collectives by plain loops, to
// hold the trainer's logic against. Works on the compute stream, which a processor runs at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <barrier>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "strategies/collective/collective.hpp"
#include "validation/trainer/communicator.hpp"

namespace foretrain::testing {

/// What one rank was asked to do.
struct Called {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::size_t bytes = 0;  ///< of the full vector, as the simulator counts
};

/// What the ranks share.
class Meeting {
 public:
  explicit Meeting(int ranks)
      : size(ranks),
        barrier(ranks),
        shown(static_cast<std::size_t>(ranks)),
        numbers(shown.size()) {}

  const int size;
  std::barrier<> barrier;
  std::vector<trainer::Tensor> shown;  ///< by rank
  std::vector<double> numbers;         ///< by rank
  std::mutex mutex;
  std::condition_variable arrived;
  std::map<std::pair<int, int>, std::deque<std::vector<std::byte>>> messages;  ///< from, to
};

class ThreadGroup final : public trainer::Communicator {
 public:
  ThreadGroup(int rank, Meeting& meeting) : Communicator(rank, meeting.size), meeting_(meeting) {}

  void all_reduce(trainer::Stream stream, const trainer::Tensor& tensor,
                  trainer::Reduction reduction) override;
  void all_gather(trainer::Stream stream, const trainer::Tensor& out,
                  const trainer::Tensor& in) override;
  void reduce_scatter(trainer::Stream stream, const trainer::Tensor& out,
                      const trainer::Tensor& in) override;
  void all_to_all(trainer::Stream stream, const trainer::Tensor& out,
                  const trainer::Tensor& in) override;
  void send(trainer::Stream stream, const trainer::Tensor& tensor, int peer) override;
  void receive(trainer::Stream stream, const trainer::Tensor& tensor, int peer) override;

  [[nodiscard]] const std::vector<Called>& calls() const { return calls_; }

 private:
  void show(const trainer::Tensor& tensor);

  Meeting& meeting_;
  std::vector<Called> calls_;
};

class ThreadWorld final : public trainer::World {
 public:
  ThreadWorld(int rank, Meeting& meeting) : World(rank, meeting.size), meeting_(meeting) {}

  [[nodiscard]] std::unique_ptr<trainer::Communicator> group(const std::vector<int>& ranks,
                                                             const std::string& name) override;
  void barrier() override { meeting_.barrier.arrive_and_wait(); }
  [[nodiscard]] double maximum(double value) override;
  [[nodiscard]] std::string description() const override { return "threads"; }

 private:
  Meeting& meeting_;
};

/// Calls work(rank, meeting) in a thread for each rank; throws what the first of them threw.
/// Threads must not CHECK: they hand back what the test looks at.
void on_ranks(int size, const std::function<void(int rank, Meeting& meeting)>& work);

}  // namespace foretrain::testing
