// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/check.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "sim/core/error.hpp"
#include "strategies/compress/node_groups.hpp"

namespace foretrain {
namespace {

// Why the run sends nothing in a place; nothing when it does.
std::optional<std::string> why_silent(const Run& run, WirePlace place) {
  switch (place) {
    case WirePlace::gradients:
      return run.holders() > 1 ? std::nullopt
                                : std::optional<std::string>(
                                      "there is one replica: no gradients "
                                      "are sent");
    case WirePlace::parameters:
      return run.parallel.zero >= 1 && run.shards() > 1
                 ? std::nullopt
                 : std::optional<std::string>(
                       "no parameters are gathered without zero 1 to 3 and "
                       "several ranks that shard");
    case WirePlace::tensor:
      return run.parallel.tensor > 1 ? std::nullopt
                                     : std::optional<std::string>("tensor is 1: nothing is sent");
    case WirePlace::pipeline:
      return run.parallel.pipeline > 1
                 ? std::nullopt
                 : std::optional<std::string>("pipeline is 1: nothing is sent");
    case WirePlace::experts:
      return "the run has no expert parallelism: no tokens are sent to experts";
  }
  throw InternalError("a place that nobody checks");
}

std::vector<std::uint32_t> slots_of(const Run& run, WirePlace place) {
  switch (place) {
    case WirePlace::gradients: {
      const bool is_hybrid = run.parallel.zero >= 1 && run.shards() < run.holders();
      if (!is_hybrid) {
        return {kDataGroup};
      }
      return run.shards() > 1 ? std::vector{kShardGroup, kReplicaGroup}
                              : std::vector{kReplicaGroup};
    }
    case WirePlace::parameters:
      return {kParameterGroup};
    case WirePlace::tensor:
      return {kTensorGroup};
    case WirePlace::pipeline:
    case WirePlace::experts:
      return {};
  }
  throw InternalError("a place that nobody checks");
}

std::optional<std::string> why_not_between_nodes(const Run& run, WirePlace place) {
  if (place == WirePlace::pipeline) {
    const std::int64_t stage = run.parallel.tensor * run.replicas();
    return stage % run.cluster.gpus_per_node == 0
               ? std::nullopt
               : std::optional<std::string>(
                     "some stages share a node with the next one (a stage has " +
                     std::to_string(stage) + " GPUs, a node " +
                     std::to_string(run.cluster.gpus_per_node) +
                     "), which is not told apart; leave between_nodes_only out");
  }
  bool is_between = false;
  for (const std::uint32_t slot : slots_of(run, place)) {
    const GroupShape shape = group_shape(run, slot);
    if (shape.per_node == 0) {
      return "a group of " + std::to_string(shape.members) +
             " GPUs does not lie alike on its nodes, so that it cannot work inside nodes first";
    }
    is_between = is_between || shape.spans_nodes();
  }
  return is_between ? std::nullopt
                    : std::optional<std::string>(
                          "no group leaves its node: nothing would be "
                          "compressed; leave between_nodes_only out");
}

// Errors are fed back for every gradient that a rank computes, which ZeRO-2 and -3 do not keep.
std::optional<std::string> why_no_feedback(const Run& run, const WireCompression& how) {
  if (how.method->codec->state == nullptr || run.parallel.zero < 2) {
    return std::nullopt;
  }
  return "'" + std::string(how.method->name) +
         "' keeps errors of all gradients on every rank, which zero " +
         std::to_string(run.parallel.zero) + " is there to avoid; use zero 0 or 1";
}

// A factor of a piece of a gradient, or of what is not yet summed, is another method.
std::optional<std::string> refusal(const Run& run, WirePlace place, const WireCompression& how) {
  if (const auto reason = why_silent(run, place)) {
    return reason;
  }
  if (how.between_nodes_only) {
    if (const auto reason = why_not_between_nodes(run, place)) {
      return reason;
    }
  }
  if (place == WirePlace::gradients) {
    if (const auto reason = why_no_feedback(run, how)) {
      return reason;
    }
  }
  const Codec& codec = *how.method->codec;
  return codec.refuse == nullptr ? std::nullopt : codec.refuse(how.options, wire_width(run, place));
}

}  // namespace

Bytes wire_width(const Run& run, WirePlace place) {
  return place == WirePlace::gradients ? run.stack.gradient_size()
                                       : std::max(Bytes(2), size_of(run.training.precision));
}

void check_compression(const Run& run, config::Diagnostics& diagnostics) {
  for (const WirePlace place : kWirePlaces) {
    const WireCompression* how = run.compression.at(place);
    if (how == nullptr) {
      continue;
    }
    if (const auto reason = refusal(run, place, *how)) {
      diagnostics.add(run.compression.positions[static_cast<std::size_t>(place)],
                      "compression." + std::string(name_of(place)), *reason);
    }
  }
}

}  // namespace foretrain
