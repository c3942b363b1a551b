// Data parallelism: gradients summed over replicas, at the end of the step or bucket by bucket
// while backward runs; with ZeRO-1 scattered, and the updated parameters gathered.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "strategies/stage.hpp"

namespace foretrain {

class DataParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  DataParallel(const Run& run, BodyWriter& writer);

  /// The gradients of this many parameters are final.
  void gradients_ready(std::int64_t parameters);
  /// All gradients are final; the compute stream waits until they are summed.
  void finish_gradients();
  /// After the optimizer: ZeRO-1 ranks fetch what the others updated.
  void gather_parameters(std::int64_t parameters);

 private:
  void reduce(StreamIndex stream);

  const Run& run_;
  BodyWriter& writer_;
  StreamIndex stream_ = kCompute;
  std::int64_t pending_ = 0;        // parameters whose gradients wait for a full bucket
  std::optional<EventId> reduced_;  // of the last bucket on the data stream
};

}  // namespace foretrain
