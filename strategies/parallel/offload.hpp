// ZeRO-Offload (Ren et al. 2021): optimizer states and their update on the host. Gradients go there
// as they are reduced, beside backward; the updated parameters come back while the host still
// updates others. Sharded parameters may wait there as well, and come when they are to be gathered.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "strategies/stage.hpp"

namespace foretrain {

/// Bytes that a rank's states take in the memory of its host.
[[nodiscard]] Bytes host_bytes(const Run& run, const StageShape& shape);

class HostOffload {
 public:
  /// REQUIRES: run and writer outlive this.
  HostOffload(const Run& run, BodyWriter& writer);

  /// What `stream` has reduced last: the gradients of this many parameters, of which the rank's
  /// share goes to the host.
  void take_gradients(StreamIndex stream, double parameters);
  /// The rank's share of these parameters comes from the host: recorded when it is there. `after`
  /// must have happened before.
  [[nodiscard]] EventId fetch(double parameters, std::optional<EventId> after);
  /// With a delayed update, the host starts on the gradients of the step before.
  void begin_step(const StageShape& shape);
  /// The compute stream waits until the host has updated the rank's share of the parameters.
  void update(const StageShape& shape);

 private:
  void work_and_return(const StageShape& shape);

  const Run& run_;
  BodyWriter& writer_;
  StreamIndex to_host_ = kCompute;
  StreamIndex host_ = kCompute;
  StreamIndex from_host_ = kCompute;
};

}  // namespace foretrain
