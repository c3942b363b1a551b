// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/offload.hpp"

#include <algorithm>
#include <cmath>

#include "strategies/parallel/optimizer.hpp"

namespace foretrain {
namespace {

// Before the update gradients are divided by the loss scale and clipped, in place and in fp32.
constexpr double kUnscaling = 8;

// The host updates a piece and sends it off while it works on the next: DeepSpeed's CPU Adam does
// so in pieces of 128 Mi parameters.
constexpr double kTile = 128.0 * 1024 * 1024;

double share_of(const Run& run, double parameters) {
  return parameters / static_cast<double>(run.shards());
}

// 16-bit gradients, unless FSDP has reduced them into an fp32 shard.
Bytes gradient_width(const Run& run) {
  return run.stack.accumulation == Accumulation::sharded ? gradient_size(run) : gathered_size(run);
}

}  // namespace

Bytes host_bytes(const Run& run, const StageShape& shape) {
  if (!run.offload.optimizer) {
    return Bytes(0);
  }
  // Optimizer states, the gradients that arrive, and with them sharded parameters.
  const double count = share_of(run, static_cast<double>(shape.trained()));
  const Bytes each = optimizer_state_bytes(run, shape) + gradient_width(run) +
                     (run.offload.parameters ? parameter_bytes(run) : Bytes(0));
  return Bytes(std::ceil((count * each).value));
}

HostOffload::HostOffload(const Run& run, BodyWriter& writer) : run_(run), writer_(writer) {
  if (run.offload.optimizer) {
    to_host_ = writer.add_stream("to host");
    host_ = writer.add_stream("host");
    from_host_ = writer.add_stream("from host");
  }
}

void HostOffload::take_gradients(StreamIndex stream, double parameters) {
  if (run_.offload.optimizer) {
    const Bytes bytes = share_of(run_, parameters) * gradient_width(run_);
    writer_.wait(to_host_, writer_.record(stream));
    writer_.op(to_host_, "gradients to host",
               HostCopy{CopyDirection::to_host, Bytes(std::ceil(bytes.value))});
  }
}

EventId HostOffload::fetch(double parameters, std::optional<EventId> after) {
  if (after) {
    writer_.wait(from_host_, *after);
  }
  const Bytes bytes = share_of(run_, parameters) * parameter_bytes(run_);
  writer_.op(from_host_, "parameters from host",
             HostCopy{CopyDirection::to_device, Bytes(std::ceil(bytes.value))});
  return writer_.record(from_host_);
}

void HostOffload::begin_step(const StageShape& shape) {
  if (run_.offload.delayed_update) {
    work_and_return(shape);
  }
}

void HostOffload::update(const StageShape& shape) {
  if (!run_.offload.optimizer) {
    return;
  }
  if (!run_.offload.delayed_update) {  // the norm has been taken, and the last gradient is there
    writer_.wait(host_, writer_.record(kCompute));
    writer_.wait(host_, writer_.record(to_host_));
    work_and_return(shape);
  } else {
    writer_.wait(kCompute, writer_.record(to_host_));
  }
  writer_.wait(kCompute, writer_.record(host_));
  writer_.wait(kCompute, writer_.record(from_host_));
}

void HostOffload::work_and_return(const StageShape& shape) {
  const double traffic = own_update_traffic(run_, shape).value + kUnscaling;
  double left = share_of(run_, static_cast<double>(shape.trained()));
  while (left > 0) {
    const double tile = std::min(left, kTile);
    left -= tile;
    writer_.op(host_, "optimizer on host",
               HostCopy{CopyDirection::inside_host, Bytes(std::ceil(tile * traffic))});
    if (!run_.offload.parameters) {
      writer_.wait(from_host_, writer_.record(host_));
      writer_.op(from_host_, "updated parameters from host",
                 HostCopy{CopyDirection::to_device,
                          Bytes(std::ceil((tile * parameter_bytes(run_)).value))});
    }
  }
}

}  // namespace foretrain
