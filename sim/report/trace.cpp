// SPDX-License-Identifier: Apache-2.0
#include "sim/report/trace.hpp"

#include <ostream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/report/memory_curve.hpp"

namespace foretrain {
namespace {

std::string json_string(const std::string& text) { return nlohmann::json(text).dump(); }
double microseconds(Seconds time) { return time.value * 1e6; }

class TraceWriter {
 public:
  TraceWriter(std::ostream& out, const Program& program, const Timeline& timeline)
      : out_(out), program_(program), timeline_(timeline) {
    out_ << "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
  }
  ~TraceWriter() { out_ << "\n]}\n"; }
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  void write(Rank rank) {
    const RankBinding& binding = program_.ranks[rank.index()];
    const Body& body = program_.body_of(rank);
    process_ = binding.body.value;
    metadata("process_name", 0, body.name);
    for (std::size_t s = 0; s < body.streams.size(); ++s) {
      thread_ = rank.index() * kMostStreams + s;
      metadata("thread_name", thread_, fmt::format("rank {} {}", rank.value, body.streams[s].name));
      for (std::size_t i = 0; i < body.streams[s].ops.size(); ++i) {
        slice(binding, body.streams[s].ops[i], timeline_.ranks[rank.index()][s][i]);
      }
    }
    for (const MemoryPoint& point : memory_curve(program_, timeline_, rank)) {
      event(fmt::format(
          R"("ph":"C","pid":{},"name":"memory of rank {}","ts":{:.3f},"args":{{"GB":{:.6g}}})",
          process_, rank.value, microseconds(point.time), point.total().value * 1e-9));
    }
  }

 private:
  static constexpr std::size_t kMostStreams = 16;  // spreads thread ids; a rank has fewer streams

  void event(const std::string& fields) {
    out_ << (is_first_ ? "\n{" : ",\n{") << fields << '}';
    is_first_ = false;
  }

  void metadata(std::string_view what, std::size_t thread, const std::string& name) {
    event(fmt::format(R"("ph":"M","pid":{},"tid":{},"name":"{}","args":{{"name":{}}})", process_,
                      thread, what, json_string(name)));
  }

  // The part of an op in which something happens: messages from when both sides were there.
  void slice(const RankBinding& binding, const Op& op, const Span& span) {
    const bool is_wait = std::holds_alternative<Wait>(op.action);
    if (is_wait || !(span.end > span.ready)) {
      return;
    }
    std::string name = program_.text(op.name);
    if (op.micro_batch >= 0) {
      name += fmt::format(" mb {}", op.micro_batch);
    }
    event(fmt::format(
        R"("ph":"X","pid":{},"tid":{},"name":{},"ts":{:.6f},"dur":{:.6f},"args":{{{}}})", process_,
        thread_, json_string(name), microseconds(span.ready), microseconds(span.end - span.ready),
        arguments(binding, op, span)));
  }

  std::string arguments(const RankBinding& binding, const Op& op, const Span& span) const {
    std::string text = fmt::format(R"("phase":"{}")", phase(op.phase));
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      text += fmt::format(R"(,"kernels":{})", program_.kernel_lists[kernels->list.index()].size());
    } else if (const auto* collective = std::get_if<Collective>(&op.action)) {
      const Group& group = program_.groups[binding.communicators[collective->communicator].index()];
      text += fmt::format(R"(,"bytes":{:.0f},"axis":{},"group":[{}],"waited_us":{:.3f})",
                          collective->payload.value, json_string(program_.text(group.axis)),
                          members(group), microseconds(span.ready - span.start));
    } else if (const auto* send = std::get_if<Send>(&op.action)) {
      text += message(send->payload, binding.peers[send->peer]);
    } else if (const auto* recv = std::get_if<Recv>(&op.action)) {
      text += message(recv->payload, binding.peers[recv->peer]);
    } else if (const auto* copy = std::get_if<HostCopy>(&op.action)) {
      text += fmt::format(R"(,"bytes":{:.0f},"direction":"{}")", copy->bytes.value,
                          direction(copy->direction));
    }
    return text;
  }

  static std::string message(Bytes payload, Rank peer) {
    return fmt::format(R"(,"bytes":{:.0f},"peer":{})", payload.value, peer.value);
  }

  static std::string members(const Group& group) {
    std::string text;
    for (const Rank rank : group.members) {
      text += (text.empty() ? "" : ",") + std::to_string(rank.value);
    }
    return text;
  }

  static std::string_view direction(CopyDirection direction) {
    switch (direction) {
      case CopyDirection::to_host:
        return "to host";
      case CopyDirection::to_device:
        return "to device";
      case CopyDirection::inside_host:
        return "inside host";
    }
    return "";
  }

  static std::string_view phase(Phase phase) {
    switch (phase) {
      case Phase::forward:
        return "forward";
      case Phase::backward:
        return "backward";
      case Phase::recompute:
        return "recompute";
      case Phase::optimizer:
        return "optimizer";
      case Phase::host:
        return "host";
      case Phase::compression:
        return "compression";
    }
    return "";
  }

  std::ostream& out_;
  const Program& program_;
  const Timeline& timeline_;
  std::size_t process_ = 0;
  std::size_t thread_ = 0;
  bool is_first_ = true;
};

}  // namespace

std::vector<Rank> representative_ranks(const Program& program) {
  std::vector<bool> is_seen(program.bodies.size(), false);
  std::vector<Rank> ranks;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    const std::size_t body = program.ranks[rank].body.index();
    if (!is_seen[body]) {
      is_seen[body] = true;
      ranks.push_back(Rank(rank));
    }
  }
  return ranks;
}

void write_trace(std::ostream& out, const Program& program, const Timeline& timeline,
                 const std::vector<Rank>& ranks) {
  TraceWriter writer(out, program, timeline);
  for (const Rank rank : ranks) {
    writer.write(rank);
  }
}

}  // namespace foretrain
