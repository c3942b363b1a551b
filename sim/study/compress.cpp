// SPDX-License-Identifier: Apache-2.0
#include "sim/study/compress.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "strategies/compress/check.hpp"
#include "strategies/platform_costs.hpp"

namespace foretrain {
namespace {

bool leaves_node(const Link& link) {
  return link.name.find(" nic ") != std::string::npos && link.name.ends_with(" out");
}

/// Counts what communications send out of nodes.
class NodeBytes {
 public:
  NodeBytes(const Run& run, const Program& program)
      : program_(program),
        machine_(build_machine(run)),
        costs_(*machine_, run.variation, run.collectives) {
    for (const Link& link : machine_->network().links) {
      leaves_.push_back(leaves_node(link));
    }
  }

  Bytes count() {
    Bytes sum;
    for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
      for (const Stream& stream : program_.body_of(Rank(rank)).streams) {
        for (const Op& op : stream.ops) {
          sum += bytes_of(Rank(rank), op);
        }
      }
    }
    return sum;
  }

 private:
  // A collective is counted by its first member, a message by its sender.
  Bytes bytes_of(Rank rank, const Op& op) {
    const RankBinding& binding = program_.ranks[rank.index()];
    if (const auto* collective = std::get_if<Collective>(&op.action)) {
      const GroupId group = binding.communicators[collective->communicator];
      if (program_.groups[group.index()].members.front() != rank) {
        return Bytes(0);
      }
      const auto [place, is_new] =
          collectives_.try_emplace({group, collective->kind, collective->payload});
      if (is_new) {
        place->second =
            leaving(costs_.collective_of(program_, group, collective->kind, collective->payload));
      }
      return place->second;
    }
    if (const auto* send = std::get_if<Send>(&op.action)) {
      return leaving(costs_.message_of(program_, rank, binding.peers[send->peer], send->channel,
                                       send->payload));
    }
    return Bytes(0);
  }

  [[nodiscard]] Bytes leaving(const FlowSchedule& schedule) const {
    Bytes sum;
    for (const FlowPhase& phase : schedule.phases) {
      for (const Flow& flow : phase.flows) {
        for (const LinkId link : flow.links) {
          sum += leaves_[link.index()] ? flow.bytes : Bytes(0);
        }
      }
    }
    return sum;
  }

  const Program& program_;
  std::unique_ptr<Machine> machine_;
  PlatformCosts costs_;
  std::vector<bool> leaves_;  // by link
  std::map<std::tuple<GroupId, CollectiveKind, Bytes>, Bytes> collectives_;
};

// Mean over all GPUs of the time of ops that code or decode.
Seconds codec_time(const Simulation& simulation) {
  std::map<Rank, std::size_t> num_ranks;
  for (const Rank simulated : simulation.simulated) {
    ++num_ranks[simulated];
  }
  Seconds sum;
  for (const auto& [rank, count] : num_ranks) {
    const Body& body = simulation.program.body_of(rank);
    for (std::size_t s = 0; s < body.streams.size(); ++s) {
      for (std::size_t i = 0; i < body.streams[s].ops.size(); ++i) {
        const Op& op = body.streams[s].ops[i];
        const bool is_work =
            std::holds_alternative<Kernels>(op.action) || std::holds_alternative<Delay>(op.action);
        if (is_work && op.phase == Phase::compression) {
          const Span& span = simulation.timeline.ranks[rank.index()][s][i];
          sum += (span.end - span.start) * static_cast<double>(count);
        }
      }
    }
  }
  return sum / static_cast<double>(simulation.simulated.size());
}

double mixed(double plain, double compressed, double full_share) {
  return full_share * plain + (1 - full_share) * compressed;
}

}  // namespace

Bytes bytes_between_nodes(const Run& run, const Program& program) {
  return NodeBytes(run, program).count();
}

CompressPoint measure(const Run& run) {
  const Simulation simulation = simulate(run);
  CompressPoint point;
  point.step_time = simulation.prediction.step_time.seconds();
  point.sent_between_nodes = bytes_between_nodes(run, simulation.program) /
                             static_cast<double>(simulation.program.ranks.size());
  point.codec = codec_time(simulation);
  point.exposed = simulation.prediction.breakdown.compression.seconds();
  for (const auto& [axis, time] : simulation.prediction.breakdown.exposed) {
    point.exposed += time.seconds();
  }
  point.fits = simulation.prediction.fits();
  return point;
}

CompressPoint mean_step(const CompressPoint& plain, const CompressPoint& compressed,
                        double full_share) {
  CompressPoint mean = compressed;
  mean.step_time = Seconds(mixed(plain.step_time.value, compressed.step_time.value, full_share));
  mean.sent_between_nodes =
      Bytes(mixed(plain.sent_between_nodes.value, compressed.sent_between_nodes.value, full_share));
  mean.codec = Seconds(mixed(plain.codec.value, compressed.codec.value, full_share));
  mean.exposed = Seconds(mixed(plain.exposed.value, compressed.exposed.value, full_share));
  mean.fits = plain.fits && compressed.fits;
  return mean;
}

Run with_method(Run run, const WireCompression* how, const std::vector<WirePlace>& places) {
  run.compression = {};
  if (how == nullptr) {
    return run;
  }
  config::Diagnostics diagnostics;
  for (const WirePlace place : places) {
    if (!how->method->places.contains(place)) {
      diagnostics.add({}, std::string(name_of(place)), std::string(how->method->elsewhere));
    }
    run.compression.places[static_cast<std::size_t>(place)] = *how;
  }
  check_compression(run, diagnostics);
  diagnostics.throw_if_any();
  return run;
}

// In steps of equal ratios: rates span orders of magnitude.
BreakEven find_break_even(const std::function<Seconds(BytesPerSecond)>& saved, BytesPerSecond least,
                          BytesPerSecond most) {
  constexpr double kWithin = 1.01;
  BreakEven found;
  if (saved(least) <= Seconds(0)) {
    found.kind = BreakEven::Kind::never;
    return found;
  }
  if (saved(most) > Seconds(0)) {
    found.kind = BreakEven::Kind::always;
    return found;
  }
  double low = least.value;
  double high = most.value;
  while (high / low > kWithin) {
    const double middle = std::sqrt(low * high);
    (saved(BytesPerSecond(middle)) > Seconds(0) ? low : high) = middle;
  }
  found.kind = BreakEven::Kind::at;
  found.simulated = BytesPerSecond(std::sqrt(low * high));
  return found;
}

BytesPerSecond closed_break_even(const Run& run, const CompressPoint& plain,
                                 const CompressPoint& compressed) {
  const Cluster& cluster = run.cluster;
  const Bytes saved = plain.sent_between_nodes - compressed.sent_between_nodes;
  if (saved <= Bytes(0) || compressed.codec <= Seconds(0)) {
    return BytesPerSecond(0);
  }
  const double gpus_of_nic =
      static_cast<double>(cluster.gpus_per_node) / static_cast<double>(cluster.nics_per_node);
  return saved / compressed.codec * (gpus_of_nic / cluster.fabric.achieved.value);
}

}  // namespace foretrain
