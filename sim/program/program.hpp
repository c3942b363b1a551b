// The narrow waist: what every rank does in one training step, in the vocabulary of a GPU.
//
// A rank has a few in-order streams, as a CUDA device has; each is a list of ops. Ranks that do the
// same share one Body: a body names communicators and peers by slot, and a rank's binding says
// which group or rank fills each slot. Nothing in here knows what a transformer is, and nothing
// above knows what the engine is made of.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/core/ids.hpp"
#include "sim/core/units.hpp"
#include "sim/program/kernel.hpp"

namespace foretrain {

/// What the time of an op is spent on; the breakdown is by phase.
enum class Phase : std::uint8_t {
  forward,
  backward,
  recompute,
  optimizer,
  host,
  compression  ///< coding what is sent, and decoding what comes
};

/// Back-to-back kernels of one stream; the list is shared by all ops that launch the same run. The
/// host launches them in `launches`: a run does not end sooner.
struct Kernels {
  KernelListId list;
  Seconds launches{0};
};

/// The stream does nothing for a fixed time (the host is busy, a launch gap).
struct Delay {
  Seconds duration;
};

/// Broadcasts start, and reductions to one rank end, at the first member of the group.
enum class CollectiveKind : std::uint8_t {
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  broadcast,
  reduce
};
inline constexpr std::array<CollectiveKind, 6> kCollectiveKinds = {
    CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
    CollectiveKind::all_to_all, CollectiveKind::broadcast,  CollectiveKind::reduce};
/// As in a run file: "all_reduce".
[[nodiscard]] std::string_view name_of(CollectiveKind kind);

/// All members of the group in `communicator` take part, in the order of their streams.
/// `payload` is the full vector, as in nccl-tests: n times the per-rank piece for gather / scatter;
/// of an all-to-all, what a rank holds.
struct Collective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  std::uint32_t communicator = 0;  ///< slot of RankBinding::communicators
  Bytes payload;
};

/// Point to point with the rank in a peer slot. The k-th Send to a peer on a channel meets the k-th
/// Recv from it on that channel; both end when the last byte has arrived.
struct Send {
  std::uint32_t peer = 0;  ///< slot of RankBinding::peers
  std::uint32_t channel = 0;
  Bytes payload;
};
struct Recv {
  std::uint32_t peer = 0;
  std::uint32_t channel = 0;
  Bytes payload;
};

/// Between a device and the memory of its host; or inside that memory: what the host's processors
/// read and write there, as an optimizer that runs on them does.
enum class CopyDirection : std::uint8_t { to_host, to_device, inside_host };

/// The stream goes on when the last byte has arrived.
struct HostCopy {
  CopyDirection direction = CopyDirection::to_host;
  Bytes bytes;
  bool operator==(const HostCopy&) const = default;
};

/// Events order streams of one rank: a Wait blocks its stream until the Record has been reached.
/// Each event is recorded exactly once; it may be waited for any number of times.
struct Record {
  EventId event;
};
struct Wait {
  EventId event;
};

enum class MemoryClass : std::uint8_t {
  parameters,
  gradients,
  optimizer,
  activations,
  logits,
  buffers,        ///< gathered parameters and gradients on their way
  context,        ///< CUDA and libraries
  communicators,  ///< NCCL's buffers
  slack           ///< held by the allocator, in use by nobody
};
inline constexpr int kNumMemoryClasses = 9;

struct Alloc {
  MemoryClass memory = MemoryClass::activations;
  Bytes bytes;
};
struct Free {
  MemoryClass memory = MemoryClass::activations;
  Bytes bytes;
};

using Action =
    std::variant<Kernels, Delay, Collective, Send, Recv, HostCopy, Record, Wait, Alloc, Free>;

/// One entry of a stream. `micro_batch` and `chunk` are -1 where they mean nothing.
struct Op {
  Action action;
  NameId name;
  Phase phase = Phase::forward;
  std::int32_t micro_batch = -1;
  std::int32_t chunk = -1;
};

struct Stream {
  std::string name;  ///< "compute", "tensor", "data", ...
  std::vector<Op> ops;
};

/// Memory that is held from before the step until after it.
struct Resident {
  MemoryClass memory = MemoryClass::parameters;
  Bytes bytes;
};

/// What a rank does in one step. Stream 0 is the compute stream; the breakdown follows it.
struct Body {
  std::string name;  ///< for people: "stage 0"
  std::vector<Stream> streams;
  std::uint32_t num_events = 0;
  std::vector<Resident> resident;
  double allocator_slack = 0;  ///< times the most that comes and goes at once: MemoryClass::slack
  Bytes host_bytes;            ///< of the host's memory, from before the step until after it
};

/// The ranks of one communicator in ring order, and the parallel axis they belong to.
struct Group {
  NameId axis;
  std::vector<Rank> members;
};

/// Ties a rank to its body, its hardware, and the slots of that body.
struct RankBinding {
  BodyId body;
  DeviceId device;
  std::vector<GroupId> communicators;
  std::vector<Rank> peers;
};

/// One training step of all ranks.
struct Program {
  std::vector<std::string> names;                 ///< NameId -> text
  std::vector<std::vector<Kernel>> kernel_lists;  ///< KernelListId -> kernels
  std::vector<Body> bodies;
  std::vector<Group> groups;
  std::vector<RankBinding> ranks;

  [[nodiscard]] const Body& body_of(Rank rank) const {
    return bodies[ranks[rank.index()].body.index()];
  }
  [[nodiscard]] const std::string& text(NameId name) const { return names[name.index()]; }
};

/// Interns names and kernel lists while a program is built.
class ProgramBuilder {
 public:
  Program program;  ///< bodies, groups and ranks are filled in directly

  NameId name(std::string_view text);
  KernelListId kernel_list(std::vector<Kernel> kernels);

 private:
  std::map<std::string, NameId, std::less<>> names_;
  std::map<std::vector<Kernel>, KernelListId> lists_;
};

/// Checks what a program promises: ids in range; every event recorded once and only after it can
/// be; sends and receives pair up with equal payloads; members of a group issue the same sequence
/// of collectives on it; every free has its alloc; no stream waits for itself in a cycle (a program
/// that cannot finish is refused). Throws InternalError naming the first violation.
void verify(const Program& program);

}  // namespace foretrain
