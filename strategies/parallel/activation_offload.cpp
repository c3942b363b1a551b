// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/activation_offload.hpp"

#include <cmath>
#include <string>

namespace foretrain {

ActivationOffload::ActivationOffload(const Run& run, BodyWriter& writer)
    : run_(run), writer_(writer) {
  if (is_on()) {
    to_host_ = writer.add_stream("activations to host");
    from_host_ = writer.add_stream("activations from host");
  }
}

Bytes ActivationOffload::part_of(Bytes kept) const {
  return Bytes(std::floor((run_.training.offload_activations * kept).value));
}

void ActivationOffload::before_forward(Bytes kept) {
  if (const Bytes part = part_of(kept); part > Bytes(0)) {
    writer_.op(kCompute, "keep activations", Alloc{MemoryClass::activations, part});
  }
}

void ActivationOffload::after_forward(const LayerPass& pass, Bytes kept) {
  const Bytes part = part_of(kept);
  if (part <= Bytes(0)) {
    return;
  }
  const std::optional<EventId> before = gone_;
  writer_.wait(to_host_, writer_.record(kCompute));
  writer_.op(to_host_, "activations to host", HostCopy{CopyDirection::to_host, part});
  writer_.op(to_host_, "activations to host", Free{MemoryClass::activations, part});
  gone_ = writer_.record(to_host_);
  there_.insert_or_assign(pass, *gone_);
  if (before) {
    writer_.wait(kCompute, *before);
  }
}

void ActivationOffload::fetch(const LayerPass& pass, Bytes kept) {
  const auto there = there_.find(pass);
  if (there == there_.end()) {  // nothing of it went, or it is on its way
    return;
  }
  const Bytes part = part_of(kept);
  writer_.wait(from_host_, writer_.record(kCompute));
  writer_.wait(from_host_, there->second);
  there_.erase(there);
  writer_.op(from_host_, "activations from host", Alloc{MemoryClass::activations, part});
  writer_.op(from_host_, "activations from host", HostCopy{CopyDirection::to_device, part});
  back_.insert_or_assign(pass, writer_.record(from_host_));
}

void ActivationOffload::before_backward(const LayerPass& pass) {
  const auto back = back_.find(pass);
  if (back != back_.end()) {
    writer_.wait(kCompute, back->second);
    back_.erase(back);
  }
}

void ActivationOffload::after_backward(Bytes kept) {
  if (const Bytes part = part_of(kept); part > Bytes(0)) {
    writer_.op(kCompute, "drop activations", Free{MemoryClass::activations, part});
  }
}

void check_activation_offload(const RunFile& file, const Run& run,
                              config::Diagnostics& diagnostics) {
  if (run.training.offload_activations <= 0) {
    return;
  }
  const auto fail = [&](const std::string& message) {
    diagnostics.add(file.offload_activations_position, "training.offload_activations", message);
  };
  if (!tuning_of(run, ModelPart::layers).has_backward) {
    fail("has no effect: frozen layers without a backward pass keep nothing");
  }
  for (const Cluster* kind : run.cluster.kinds()) {
    if (!kind->host) {
      fail("platform '" + kind->name +
           "' does not say what its hosts can hold and how GPUs reach them: its file needs a table "
           "[host] with memory, memory_rate and link_rate");
    }
  }
}

}  // namespace foretrain
