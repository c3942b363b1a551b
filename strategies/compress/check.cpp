// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/check.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "sim/core/error.hpp"
#include "strategies/compress/node_groups.hpp"
#include "strategies/parallel/data.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/states.hpp"

namespace foretrain {
namespace {

// Where gradients are summed, or parameters gathered, by those who hold the same.
void add_slots(const Run& run, const Holders& holders, WirePlace place,
               std::vector<std::uint32_t>& slots) {
  if (place == WirePlace::parameters) {
    if (run.parallel.zero >= 1 && holders.shards > 1) {
      slots.push_back(holders.parameter_group);
      if (run.sharding.secondary_shard) {
        slots.push_back(kSecondaryGroup);
      }
    }
    return;
  }
  const bool is_hybrid = run.parallel.zero >= 1 && holders.shards < holders.replicas;
  if (holders.replicas > 1 && !is_hybrid) {
    slots.push_back(holders.data_group);
  }
  if (holders.replicas > 1 && is_hybrid) {
    slots.push_back(holders.replica_group);
    if (holders.shards > 1) {
      slots.push_back(holders.shard_group);
    }
  }
}

// The communicators that a place uses.
std::vector<std::uint32_t> slots_of(const Run& run, WirePlace place) {
  std::vector<std::uint32_t> slots;
  switch (place) {
    case WirePlace::gradients:
    case WirePlace::parameters:
      add_slots(run, dense_holders(run), place, slots);
      if (has_expert_grid(run)) {
        add_slots(run, expert_holders(run), place, slots);
      }
      return slots;
    case WirePlace::tensor:
      return {kTensorGroup};
    case WirePlace::experts:
      return expert_dispatch(run.stack.expert_dispatch).needs_nodes
                 ? std::vector{kExpertRailGroup, kExpertNodeGroup}
                 : std::vector{kExpertGroup};
    case WirePlace::pipeline:
      return {};
  }
  throw InternalError("a place that nobody checks");
}

// Why the run sends nothing in a place; nothing when it does.
std::optional<std::string> why_silent(const Run& run, WirePlace place) {
  switch (place) {
    case WirePlace::gradients:
      return slots_of(run, place).empty()
                 ? std::optional<std::string>("there is one replica: no gradients are sent")
                 : std::nullopt;
    case WirePlace::parameters:
      if (run.stack.gathers_by_broadcasts && run.parallel.zero < 3) {
        return "the stack hands parameters out by broadcasts, which are not compressed";
      }
      return slots_of(run, place).empty()
                 ? std::optional<std::string>(
                       "no parameters are gathered without zero 1 to 3 and "
                       "several ranks that shard")
                 : std::nullopt;
    case WirePlace::tensor:
      return run.parallel.tensor > 1 ? std::nullopt
                                     : std::optional<std::string>("tensor is 1: nothing is sent");
    case WirePlace::pipeline:
      return run.parallel.pipeline > 1
                 ? std::nullopt
                 : std::optional<std::string>("pipeline is 1: nothing is sent");
    case WirePlace::experts:
      return has_expert_grid(run) && run.parallel.experts.degree > 1
                 ? std::nullopt
                 : std::optional<std::string>(
                       "the run has no expert parallelism: no tokens are sent to experts");
  }
  throw InternalError("a place that nobody checks");
}

std::optional<std::string> why_not_between_nodes(const Run& run, WirePlace place) {
  if (place == WirePlace::pipeline) {
    return stages_share_nodes(run)
               ? std::optional<std::string>(
                     "some stages share a node with the next one, which is not told apart; leave "
                     "between_nodes_only out")
               : std::nullopt;
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

std::optional<std::string> refusal(const Run& run, WirePlace place, const WireCompression& how) {
  if (auto reason = why_silent(run, place)) {
    return reason;
  }
  if (how.between_nodes_only) {
    if (auto reason = why_not_between_nodes(run, place)) {
      return reason;
    }
  }
  if (place == WirePlace::gradients) {
    if (auto reason = why_no_feedback(run, how)) {
      return reason;
    }
  }
  const Codec& codec = *how.method->codec;
  return codec.refuse == nullptr ? std::nullopt : codec.refuse(how.options, wire_width(run, place));
}

}  // namespace

Bytes wire_width(const Run& run, WirePlace place) {
  switch (place) {
    case WirePlace::gradients:
      return gradient_size(run);
    case WirePlace::parameters:
      return gathered_size(run);
    case WirePlace::tensor:
    case WirePlace::pipeline:
    case WirePlace::experts:
      return std::max(Bytes(2), size_of(run.training.precision));
  }
  throw InternalError("a place that nobody checks");
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
