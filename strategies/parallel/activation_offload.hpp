// Activations that wait in the host's memory: a share of what layers keep goes there after their
// forward, beside the forward of the next layer, and comes back a layer ahead of their backward
// (Ren et al. 2021, "ZeRO-Offload", section 7, leaves them to recomputation; TransformerEngine's
// and NeMo's CPU offloading do this).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>

#include "strategies/stage.hpp"

namespace foretrain {

/// Where a layer stands in a step.
struct LayerPass {
  std::int32_t micro_batch = 0;
  std::int64_t layer = 0;  ///< its number in the model
  auto operator<=>(const LayerPass&) const = default;
};

class ActivationOffload {
 public:
  /// REQUIRES: run and writer outlive this.
  ActivationOffload(const Run& run, BodyWriter& writer);

  [[nodiscard]] bool is_on() const { return run_.training.offload_activations > 0; }
  /// The part of what a layer keeps that goes to the host.
  [[nodiscard]] Bytes part_of(Bytes kept) const;

  /// A layer's forward is about to run; what it keeps takes its place.
  void before_forward(Bytes kept);
  /// It has run. At most two layers' parts are there at a time: the next layer's kernels wait until
  /// the one before this has gone.
  void after_forward(const LayerPass& pass, Bytes kept);
  /// The part of a layer starts on its way back, if it has not yet: called for the layer whose
  /// backward comes, then for the one after it.
  void fetch(const LayerPass& pass, Bytes kept);
  /// A layer's backward is about to run, and waits for its part.
  void before_backward(const LayerPass& pass);
  void after_backward(Bytes kept);

 private:
  const Run& run_;
  BodyWriter& writer_;
  StreamIndex to_host_ = kCompute;
  StreamIndex from_host_ = kCompute;
  std::optional<EventId> gone_;         // the last layer's part
  std::map<LayerPass, EventId> there_;  // in the host's memory
  std::map<LayerPass, EventId> back_;
};

/// A share that cannot take effect, or a platform whose hosts nobody describes.
void check_activation_offload(const RunFile& file, const Run& run,
                              config::Diagnostics& diagnostics);

}  // namespace foretrain
