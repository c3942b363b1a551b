// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/data.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

// Under ZeRO-3 gathers and reductions have a stream each: in one stream the gather for the next
// layer would stand behind the reduction of this one.
bool has_gradient_stream(const Run& run, const Holders& holders) {
  const bool is_overlapped = run.parallel.zero == 3 ? run.sharding.overlap_gradients.value_or(true)
                                                    : overlaps_gradients(run);
  return holders.replicas > 1 && is_overlapped;
}
bool has_parameter_stream(const Run& run, const Holders& holders) {
  const bool is_sharded = run.parallel.zero >= 1 && holders.shards > 1;
  return (is_sharded && (run.parallel.zero == 3 || overlaps_parameters(run))) ||
         run.offload.parameters;
}

bool is_hybrid(const Run& run, const Holders& holders) {
  return run.parallel.zero >= 1 && holders.shards < holders.replicas;
}

}  // namespace

Holders dense_holders(const Run& run) {
  Holders holders;
  holders.replicas = run.holders();
  holders.shards = run.shards();
  if (run.sharding.averages()) {
    holders.replicas = run.summed_replicas();
    holders.data_group = kShardGroup;
  }
  return holders;
}

Holders expert_holders(const Run& run) {
  return {expert_replicas(run) * copies(run.placement()),
          run.parallel.zero == 0 ? 1 : expert_shards(run),
          kExpertDataGroup,
          kExpertShardGroup,
          kExpertReplicaGroup,
          kExpertParameterGroup,
          "expert data",
          "expert data parameters"};
}

DataParallel::DataParallel(const Run& run, BodyWriter& writer, const Holders& holders)
    : run_(run),
      writer_(writer),
      holders_(holders),
      gradient_wire_(run, writer, WirePlace::gradients),
      parameter_wire_(run, writer, WirePlace::parameters),
      offload_(run, writer),
      gather_group_(holders.parameter_group) {
  if (has_gradient_stream(run, holders)) {
    gradients_ = writer.add_stream(holders.gradient_stream);
  }
  if (has_parameter_stream(run, holders)) {
    parameters_ = writer.add_stream(holders.parameter_stream);
  }
  if (run.stack.host_per_piece.value > Seconds(0) && run.parallel.zero == 3 && holders.shards > 1) {
    launches_ = writer.add_stream("launches");
  }
}

// FSDP frees and gathers again in every pass. With a pipeline the gathered parameters stay for the
// step, as torchtitan's default has it. ZeRO-1 and -2 gather what the last step updated, once.
bool DataParallel::is_gathering(bool is_forward, std::int32_t micro_batch) const {
  if (parameters_ == kCompute) {
    return false;
  }
  if (!is_fully_sharded()) {
    return is_forward && micro_batch == 0;
  }
  if (reshards_after_forward(run_)) {
    return true;
  }
  return is_forward && (run_.parallel.pipeline == 1 || micro_batch == 0);
}

void DataParallel::enter(const GatherUnit& unit, bool is_forward, std::int32_t micro_batch) {
  if (unit.gathered() > 0 && is_gathering(is_forward, micro_batch)) {
    gather(unit, is_forward);
  }
}

void DataParallel::enter_again(const GatherUnit& unit, std::int32_t micro_batch) {
  if (run_.stack.gathers_after_recompute && is_fully_sharded() && reshards_after_forward(run_)) {
    leave(false);
    enter(unit, false, micro_batch);
  }
}

// How many units are gathered at most when this one is, itself included.
std::size_t DataParallel::units_ahead(const GatherUnit& unit, bool is_forward) const {
  const Sharding& keys = run_.sharding;
  const auto size = static_cast<double>(unit.gathered()) * gathered_size(run_);
  if (!is_fully_sharded() || !(is_forward ? keys.forward_prefetch : keys.backward_prefetch)) {
    return 1;
  }
  auto most = static_cast<std::size_t>(keys.units_in_flight);
  if (keys.prefetch_bucket && size > Bytes(0)) {
    most = 1 + static_cast<std::size_t>(std::ceil(*keys.prefetch_bucket / size));
  }
  std::size_t ahead = 1;
  std::int64_t live = unit.gathered();
  while (ahead < most && ahead <= started_.size()) {
    live += started_[started_.size() - ahead].parameters;
    if (keys.max_live && static_cast<double>(live) * gathered_size(run_) > *keys.max_live) {
      return ahead;
    }
    ++ahead;
  }
  return most;
}

// The part of a gather that compute waits for: what the stack was seen to expose, or what does not
// fit into the bucket that is fetched ahead.
double DataParallel::exposed_share(const GatherUnit& unit) const {
  const double known = is_fully_sharded() ? run_.stack.exposed_gathers.value : 0;
  const auto size = static_cast<double>(unit.gathered()) * gathered_size(run_);
  if (!run_.sharding.prefetch_bucket || size <= *run_.sharding.prefetch_bucket) {
    return known;
  }
  return std::max(known, 1 - *run_.sharding.prefetch_bucket / size);
}

void DataParallel::gather(const GatherUnit& unit, bool is_forward) {
  const bool is_secondary = run_.sharding.secondary_shard && !is_forward;
  gather_group_ = is_secondary ? kSecondaryGroup : holders_.parameter_group;
  double exposed = exposed_share(unit);
  const std::size_t ahead = units_ahead(unit, is_forward);
  if (is_fully_sharded() && ahead == 1) {  // compute has come to need it, and nothing else is there
    writer_.wait(parameters_, writer_.record(kCompute));
    exposed = 0;
  } else if (is_fully_sharded() && started_.size() >= ahead - 1) {
    writer_.wait(parameters_, started_[started_.size() - (ahead - 1)].event);
  }
  if (is_fully_sharded()) {
    const Bytes bytes = static_cast<double>(unit.gathered()) * gathered_size(run_);
    gathered_.push_back(Bytes(std::ceil(bytes.value)));
    writer_.op(parameters_, "gathered parameters", Alloc{MemoryClass::buffers, gathered_.back()});
  }
  if (exposed < 1) {
    gather_pieces(unit, 1 - exposed);
  }
  if (exposed > 0) {  // starts when compute has come to need it
    writer_.wait(parameters_, writer_.record(kCompute));
    gather_pieces(unit, exposed);
  }
  writer_.wait(kCompute, writer_.record(parameters_));
  started_.push_back({unit.gathered(), writer_.record(kCompute)});
}

// A share of every piece, from the host where parameters wait there, and then from the others.
void DataParallel::gather_pieces(const GatherUnit& unit, double share) {
  if (holders_.shards > 1) {
    work_on_pieces(parameters_, static_cast<std::int64_t>(unit.pieces.size()));
  }
  std::optional<EventId> before;  // the copies follow one another
  if (run_.offload.parameters) {
    before = writer_.record(parameters_);
  }
  for (const std::int64_t piece : unit.pieces) {
    if (run_.offload.parameters) {
      const double parameters = share * static_cast<double>(piece);
      writer_.wait(parameters_, offload_.fetch(parameters, std::exchange(before, std::nullopt)));
    }
    if (holders_.shards > 1) {
      all_gather(
          parameters_,
          share * Bytes(std::ceil((static_cast<double>(piece) * gathered_size(run_)).value)));
    }
  }
}

// A host that names each rank's part of a tensor on its own, and waits for the GPU before it
// gathers: the list forms of PyTorch's collectives. It does one thing at a time.
void DataParallel::work_on_pieces(StreamIndex stream, std::int64_t pieces) {
  if (launches_ == kCompute) {
    return;
  }
  if (stream == parameters_) {
    writer_.wait(launches_, writer_.record(kCompute));
  }
  const auto parts = static_cast<double>(pieces * holders_.shards);
  const Tag tag = writer_.current_tag();
  writer_.tag({Phase::host, tag.micro_batch, tag.chunk});
  writer_.op(launches_, "host, per piece", Delay{parts * run_.stack.host_per_piece.value});
  writer_.tag(tag);
  writer_.wait(stream, writer_.record(launches_));
}

void DataParallel::leave(bool is_forward) {
  if (!reshards_after_forward(run_) && (is_forward || run_.parallel.pipeline > 1)) {
    return;
  }
  if (!gathered_.empty()) {
    writer_.op(kCompute, "gathered parameters", Free{MemoryClass::buffers, gathered_.back()});
    gathered_.pop_back();
  }
}

void DataParallel::leave_micro_batch() {
  is_first_bucket_ = true;
  if (run_.parallel.pipeline == 1) {
    drop_gathered();
    if (is_fully_sharded() && !reshards_after_forward(run_) && !started_.empty()) {
      constexpr std::size_t kMostAhead = 1000;  // backward has made room for the next forward
      started_.assign(kMostAhead, {0, writer_.record(kCompute)});
    }
  }
}

void DataParallel::drop_gathered() {
  const Bytes sum = std::accumulate(gathered_.begin(), gathered_.end(), Bytes(0));
  gathered_.clear();
  if (sum > Bytes(0)) {
    writer_.op(kCompute, "gathered parameters", Free{MemoryClass::buffers, sum});
  }
}

// FSDP reduces unit by unit; a bucket of the run's own goes before.
bool DataParallel::is_bucket_full() const {
  if (is_fully_sharded() && !run_.sharding.gradient_bucket) {
    return true;
  }
  const Bytes bucket = is_first_bucket_ && run_.sharding.first_bucket ? *run_.sharding.first_bucket
                                                                      : gradient_bucket(run_);
  return static_cast<double>(pending_) * gradient_size(run_) >= bucket;
}

void DataParallel::gradients_ready(std::int64_t parameters, std::int64_t tensors, bool is_final) {
  const bool is_every_time = reduces_every_micro_batch(run_);
  if (!is_final && !is_every_time) {
    return;
  }
  is_final_ = is_final;
  pending_ += parameters;
  pending_tensors_ += tensors;
  if (!is_bucket_full()) {
    return;
  }
  if (gradients_ == kCompute) {
    if (is_every_time) {  // there is no room for them until the end
      send_bucket(kCompute);
    }
  } else {
    send_bucket(gradients_);
  }
}

void DataParallel::send_bucket(StreamIndex stream) {
  const auto ready = static_cast<double>(std::exchange(pending_, 0));
  const double exposed = stream == kCompute ? 0 : run_.stack.exposed_gradients.value;
  is_first_bucket_ = false;
  exposed_ += exposed * ready;
  if (exposed < 1) {
    if (stream != kCompute) {
      writer_.wait(stream, writer_.record(kCompute));
    }
    send(stream, (1 - exposed) * ready);
  }
}

void DataParallel::finish_gradients() {
  const auto rest = static_cast<double>(std::exchange(pending_, 0)) + std::exchange(exposed_, 0.0);
  if (rest > 0) {
    if (gradients_ != kCompute) {
      writer_.wait(gradients_, writer_.record(kCompute));
    }
    send(gradients_, rest);
  }
  if (gradients_ != kCompute) {
    writer_.wait(kCompute, writer_.record(gradients_));
  }
}

// In buckets of the run's own size, if it says one.
void DataParallel::send(StreamIndex stream, double parameters) {
  if (launches_ != kCompute) {
    work_on_pieces(stream, std::exchange(pending_tensors_, 0));
  }
  const auto most = run_.sharding.gradient_bucket
                        ? std::max(1.0, *run_.sharding.gradient_bucket / gradient_size(run_))
                        : parameters;
  for (double left = parameters; left > 0;) {
    const double bucket = std::min(left, most);
    left = left - bucket < 1e-6 * most ? 0 : left - bucket;
    reduce(stream, bucket);
    offload_.take_gradients(stream, bucket);
  }
}

// ZeRO needs the sum of a rank's own shard only: a reduce-scatter moves half of an all-reduce
// (Rajbhandari et al. 2020, section 7.1). Where shards are repeated, their sums are summed.
void DataParallel::reduce(StreamIndex stream, double parameters) {
  if (holders_.replicas == 1) {
    return;
  }
  const Bytes payload = parameters * gradient_size(run_);
  if (run_.parallel.zero == 0) {
    gradient_wire_.collective(kCompute, stream, "gradient all-reduce",
                              Collective{CollectiveKind::all_reduce, holders_.data_group, payload});
    return;
  }
  const bool is_hybrid_sum = is_hybrid(run_, holders_);
  if (holders_.shards > 1) {
    gradient_wire_.collective(
        kCompute, stream, "gradient reduce-scatter",
        Collective{CollectiveKind::reduce_scatter,
                   is_hybrid_sum ? holders_.shard_group : holders_.data_group, payload});
  }
  if (is_hybrid_sum && (is_final_ || run_.sharding.sum_replicas_every_micro_batch)) {
    const StreamIndex origin = holders_.shards > 1 ? stream : kCompute;
    gradient_wire_.collective(origin, stream, "gradient shard all-reduce",
                              Collective{CollectiveKind::all_reduce, holders_.replica_group,
                                         payload / static_cast<double>(holders_.shards)});
  }
}

void DataParallel::all_gather(StreamIndex stream, Bytes payload) {
  parameter_wire_.collective(stream, stream, "parameter all-gather",
                             Collective{CollectiveKind::all_gather, gather_group_, payload});
}

void DataParallel::gather_parameters(std::int64_t parameters, std::int64_t persistent) {
  gather_group_ = holders_.parameter_group;
  if (holders_.shards == 1) {
    return;
  }
  if (persistent > 0) {
    all_gather(kCompute, static_cast<double>(persistent) * gathered_size(run_));
  }
  if (parameters_ != kCompute) {
    return;
  }
  const Bytes all = static_cast<double>(parameters) * gathered_size(run_);
  const Bytes most = run_.sharding.gather_bucket.value_or(all);
  for (Bytes left = all; left > Bytes(0);) {
    const Bytes bucket = std::min(left, most);
    left -= bucket;
    if (run_.stack.gathers_by_broadcasts) {
      broadcast_shares(bucket);
    } else {
      all_gather(kCompute, bucket);
    }
  }
}

// Each from its owner; as a ring is alike from all of them, the program has one root for all.
void DataParallel::broadcast_shares(Bytes payload) {
  const auto shards = static_cast<double>(holders_.shards);
  for (std::int64_t owner = 0; owner < holders_.shards; ++owner) {
    writer_.op(kCompute, "parameter broadcast",
               Collective{CollectiveKind::broadcast, gather_group_, payload / shards});
  }
}

// DiLoCo (Douillard et al. 2023): every H steps the replicas' parameters are averaged in fp32, and
// an outer Nesterov step is made from where they were. A step of the program is the mean of H
// steps: it carries 1/H of that payload and of that update. Latencies are paid whole in every step,
// which is at most H times too much of them. Ranks of an island hold the same: each averages its
// share, and they gather, as ZeRO does anyway.
void DataParallel::average(std::int64_t parameters) {
  if (!run_.sharding.averages()) {
    return;
  }
  constexpr double kWidth = 4;          // fp32
  constexpr double kOuterTraffic = 24;  // reads the average; reads and writes the copy of the last
                                        // time and its momentum; writes the parameters
  const auto island = static_cast<double>(run_.summed_replicas());
  const double share =
      static_cast<double>(parameters) / (static_cast<double>(run_.sharding.average_every) * island);
  writer_.op(kCompute, "parameter average",
             Collective{CollectiveKind::all_reduce, kReplicaGroup, Bytes(kWidth * share)});
  writer_.label("outer optimizer");
  writer_.kernel("outer optimizer", MemoryBound{MemoryOp::streaming, Bytes(kOuterTraffic * share)});
  if (island > 1 && run_.parallel.zero == 0) {
    gather_group_ = kShardGroup;
    all_gather(kCompute, share * island * gathered_size(run_));
  }
}

}  // namespace foretrain
