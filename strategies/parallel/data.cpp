// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/data.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

// Under ZeRO-3 gathers and reductions have a stream each: in one stream the gather for the next
// layer would stand behind the reduction of this one.
bool has_gradient_stream(const Run& run, const Holders& holders) {
  return holders.replicas > 1 && (run.stack.overlap_gradients || run.parallel.zero == 3);
}
bool has_parameter_stream(const Run& run, const Holders& holders) {
  const bool is_sharded = run.parallel.zero >= 1 && holders.shards > 1;
  return is_sharded && (run.parallel.zero == 3 || run.stack.overlap_parameters);
}

bool is_hybrid(const Run& run, const Holders& holders) {
  return run.parallel.zero >= 1 && holders.shards < holders.replicas;
}

}  // namespace

Holders dense_holders(const Run& run) {
  Holders holders;
  holders.replicas = run.holders();
  holders.shards = run.shards();
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
      parameter_wire_(run, writer, WirePlace::parameters) {
  if (has_gradient_stream(run, holders)) {
    gradients_ = writer.add_stream(holders.gradient_stream);
  }
  if (has_parameter_stream(run, holders)) {
    parameters_ = writer.add_stream(holders.parameter_stream);
  }
}

// FSDP frees and gathers again in every pass. With a pipeline the gathered parameters stay for the
// step, as torchtitan's default has it. ZeRO-1 and -2 gather what the last step updated, once.
bool DataParallel::is_gathering(bool is_forward, std::int32_t micro_batch) const {
  if (parameters_ == kCompute) {
    return false;
  }
  const bool is_once = !is_fully_sharded() || run_.parallel.pipeline > 1;
  return !is_once || (is_forward && micro_batch == 0);
}

void DataParallel::enter(std::int64_t parameters, bool is_forward, std::int32_t micro_batch) {
  if (parameters > 0 && is_gathering(is_forward, micro_batch)) {
    gather(parameters);
  }
}

void DataParallel::gather(std::int64_t parameters) {
  const Bytes unit =
      Bytes(std::ceil((static_cast<double>(parameters) * gathered_size(run_)).value));
  if (started_ && is_fully_sharded()) {  // at most two units are there at a time
    writer_.wait(parameters_, *started_);
  }
  if (is_fully_sharded()) {
    writer_.op(parameters_, "gathered parameters", Alloc{MemoryClass::buffers, unit});
    gathered_ += unit;
  }
  const double exposed = is_fully_sharded() ? run_.stack.exposed_gathers.value : 0;
  if (exposed < 1) {
    all_gather(parameters_, (1 - exposed) * unit);
  }
  if (exposed > 0) {  // starts when compute has come to need it
    writer_.wait(parameters_, writer_.record(kCompute));
    all_gather(parameters_, exposed * unit);
  }
  writer_.wait(kCompute, writer_.record(parameters_));
  started_ = writer_.record(kCompute);
}

void DataParallel::leave() {
  if (run_.parallel.pipeline == 1) {
    drop_gathered();
  }
}

void DataParallel::drop_gathered() {
  if (gathered_ > Bytes(0)) {
    writer_.op(kCompute, "gathered parameters",
               Free{MemoryClass::buffers, std::exchange(gathered_, Bytes(0))});
  }
}

void DataParallel::gradients_ready(std::int64_t parameters, bool is_final) {
  const bool is_every_time = shards_gradients(run_);
  if (!is_final && !is_every_time) {
    return;
  }
  pending_ += parameters;
  const bool is_bucket_full =
      is_fully_sharded() ||
      static_cast<double>(pending_) * gradient_size(run_) >= run_.stack.bucket.value;
  if (gradients_ == kCompute) {
    if (is_every_time && is_bucket_full) {  // there is no room for them until the end
      reduce(kCompute, static_cast<double>(std::exchange(pending_, 0)));
    }
  } else if (is_bucket_full) {
    const auto ready = static_cast<double>(std::exchange(pending_, 0));
    const double exposed = run_.stack.exposed_gradients.value;
    exposed_ += exposed * ready;
    if (exposed < 1) {
      writer_.wait(gradients_, writer_.record(kCompute));
      reduce(gradients_, (1 - exposed) * ready);
    }
  }
}

void DataParallel::finish_gradients() {
  const auto rest = static_cast<double>(std::exchange(pending_, 0)) + std::exchange(exposed_, 0.0);
  if (rest > 0) {
    if (gradients_ != kCompute) {
      writer_.wait(gradients_, writer_.record(kCompute));
    }
    reduce(gradients_, rest);
  }
  if (gradients_ != kCompute) {
    writer_.wait(kCompute, writer_.record(gradients_));
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
  if (is_hybrid_sum) {
    const StreamIndex origin = holders_.shards > 1 ? stream : kCompute;
    gradient_wire_.collective(origin, stream, "gradient shard all-reduce",
                              Collective{CollectiveKind::all_reduce, holders_.replica_group,
                                         payload / static_cast<double>(holders_.shards)});
  }
}

void DataParallel::all_gather(StreamIndex stream, Bytes payload) {
  parameter_wire_.collective(
      stream, stream, "parameter all-gather",
      Collective{CollectiveKind::all_gather, holders_.parameter_group, payload});
}

void DataParallel::gather_parameters(std::int64_t parameters) {
  if (holders_.shards > 1 && parameters_ == kCompute && parameters > 0) {
    all_gather(kCompute, static_cast<double>(parameters) * gathered_size(run_));
  }
}

}  // namespace foretrain
