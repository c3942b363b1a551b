// The model states of one rank, shared out over its replicas: DDP and the three stages of ZeRO
// (Rajbhandari et al. 2020), with gradients summed bucket by bucket beside backward, and ZeRO-3's
// parameters gathered one unit ahead.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/compress.hpp"
#include "validation/trainer/parameters.hpp"

namespace foretrain::trainer {

/// Units whose gradients are summed at once, and whose states are shared out together: rank r holds
/// part r of the run of memory.
struct Bucket {
  std::vector<std::size_t> units;  ///< in the order of backward
  std::int64_t first = 0;          ///< in the memory of all buckets
  std::int64_t count = 0;          ///< with padding, so that the shards are alike
};

/// Buckets in the order of backward, which visits the units from the last to the first. A bucket is
/// full with the unit that brings it to `bytes`; 0 bytes: each unit is one.
[[nodiscard]] std::vector<Bucket> buckets_of(const std::vector<Unit>& units, double bytes,
                                             int shards);

class DataParallel {
 public:
  /// `units` in the order of forward. Gradients and parameters travel on communicators of their
  /// own, both over the replicas. All that is referred to outlives this.
  DataParallel(Device& device, const Plan& plan, const Place& place, std::vector<Unit> units,
               Communicator& gradient_group, Communicator& parameter_group, std::uint64_t seed);

  /// Clears gradients.
  void begin_step();
  /// Compute is about to use a unit's parameters, in the order in which the step visits units; then
  /// it is about to make its gradients.
  void enter(std::size_t unit);
  void enter_backward(std::size_t unit);
  /// REQUIRES: the unit was entered last.
  [[nodiscard]] Tensor parameter(std::size_t unit, std::size_t part) const;
  [[nodiscard]] Tensor gradient(std::size_t unit, std::size_t part) const;
  /// The unit's gradients of a micro-batch are enqueued.
  void gradients_ready(std::size_t unit, bool is_last_micro_batch);
  /// Compute waits for all sums.
  void finish_gradients();

  /// sum += squares of the gradients that this rank answers for: over all ranks every parameter's
  /// counts once.
  void add_sum_of_squares(const Tensor& sum);
  void update(const AdamW& how);

 private:
  struct Range {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  void allocate();
  void initialize(std::uint64_t seed);
  void set_counted_ranges(const Place& place);
  void gather(std::size_t visit);
  void reduce(std::size_t bucket, Stream stream);
  [[nodiscard]] bool is_fully_sharded() const { return plan_.zero() == 3; }
  [[nodiscard]] bool keeps_gradient_shards() const { return plan_.zero() >= 2; }
  /// Of a bucket, this rank's part.
  [[nodiscard]] Range shard_of(const Bucket& bucket) const;
  [[nodiscard]] Tensor shard(const Memory& memory, const Bucket& bucket) const;
  [[nodiscard]] Tensor bucket_gradient(std::size_t bucket) const;
  [[nodiscard]] Tensor own_gradient(const Bucket& bucket) const;
  [[nodiscard]] Tensor own_parameters(const Bucket& bucket) const;

  Device& device_;
  const Plan& plan_;
  Communicator& gradient_group_;
  Communicator& parameter_group_;
  std::vector<Unit> units_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;  // by unit
  std::vector<std::int64_t> first_of_;  // by unit, within its bucket
  int shards_ = 1;
  int shard_rank_ = 0;
  int data_rank_ = 0;
  bool overlaps_gradients_ = false;
  std::unique_ptr<GradientSum> sum_;
  std::vector<std::size_t> pending_;         // buckets that wait for the end of backward
  std::vector<std::vector<Range>> counted_;  // by bucket, within the shard

  Memory parameters_;  // all, or the shards of ZeRO-3
  Memory gradients_;   // all, or shards
  Memory master_;      // fp32 shards where parameters are not fp32
  Memory first_moment_;
  Memory second_moment_;

  static constexpr std::size_t kSlots = 2;  // in use, and under way
  Memory gathered_[kSlots];                 // ZeRO-3, by visit
  Event is_gathered_[kSlots];
  Memory whole_gradient_[kSlots];  // ZeRO-2 and -3, by bucket
  Event is_reduced_[kSlots];
  bool was_reduced_[kSlots] = {};
  std::vector<std::size_t> visits_;  // units in the order in which a step enters them
  std::size_t entered_ = 0;          // visits of this step so far
  std::size_t gathers_ = 0;
  Stream gradient_stream_ = kCompute;
  Stream parameter_stream_ = kCompute;
};

}  // namespace foretrain::trainer
