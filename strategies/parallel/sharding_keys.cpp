// Reads [sharding] and [offload], and says which of their keys have no effect on a run.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "strategies/parallel/expert.hpp"
#include "strategies/plan.hpp"

namespace foretrain {
namespace {

using config::Alias;
using config::Choice;
using config::Range;
using config::Reader;

constexpr std::array<Alias, 27> kShardingAliases = {{
    {"bucket_cap_mb", "gradient_bucket"},
    {"reduce_bucket_size", "gradient_bucket"},
    {"ddp_bucket_size", "gradient_bucket"},
    {"first_bucket_size", "first_bucket"},
    {"allgather_bucket_size", "gather_bucket"},
    {"overlap_comm", "overlap_gradients"},
    {"overlap_grad_reduce", "overlap_gradients"},
    {"overlap_param_gather", "overlap_parameters"},
    {"no_sync", "reduce_every_micro_batch"},
    {"set_requires_gradient_sync", "reduce_every_micro_batch"},
    {"limit_all_gathers", "units_in_flight"},
    {"stage3_prefetch_bucket_size", "prefetch_bucket"},
    {"prefetch_bucket_size", "prefetch_bucket"},
    {"stage3_max_live_parameters", "max_live"},
    {"max_live_parameters", "max_live"},
    {"stage3_param_persistence_threshold", "persistence_threshold"},
    {"param_persistence_threshold", "persistence_threshold"},
    {"zero_hpz_partition_size", "secondary_shard"},
    {"hpz", "secondary_shard"},
    {"fsdp_reshard_after_forward", "reshard_after_forward"},
    {"mics_shard_size", "[parallel] shard"},
    {"sync_every", "average_every"},
    {"local_steps", "average_every"},
    {"sync_steps", "average_every"},
    {"outer_steps", "average_every"},
    {"fsdp_unit", "gather_unit"},
    {"replicas_per_island", "island"},
}};

constexpr std::array<Alias, 6> kOffloadAliases = {{
    {"offload_optimizer", "optimizer"},
    {"optimizer_cpu_offload", "optimizer"},
    {"cpu_offload", "optimizer"},
    {"offload_param", "parameters"},
    {"offload_parameters", "parameters"},
    {"delayed_param_update", "delayed_update"},
}};

constexpr std::array<Choice<bool>, 2> kGatherUnits = {{{"layer", false}, {"tensor", true}}};

constexpr std::array<std::string_view, 8> kZero3Keys = {
    "reshard_after_forward", "secondary_shard", "units_in_flight",       "forward_prefetch",
    "backward_prefetch",     "prefetch_bucket", "persistence_threshold", "gather_unit"};

std::optional<Bytes> read_size(Reader& reader, std::string_view key) {
  auto size = reader.maybe<Bytes>(key);
  if (size && *size <= Bytes(0)) {
    reader.fail(key, "expected a size greater than zero");
  }
  return size;
}

template <class Places>
void note_places(Reader& reader, Places& places) {
  for (const std::string& key : reader.keys()) {
    places.emplace(key, reader.position_of(key));
  }
}

void read_zero3(Reader& reader, Sharding& sharding) {
  constexpr Range kRanks{2, 1'000'000};
  sharding.reshard_after_forward = reader.maybe<bool>("reshard_after_forward");
  sharding.secondary_shard = reader.maybe_count("secondary_shard", kRanks);
  sharding.units_in_flight = reader.count("units_in_flight", 2, Range{1, 1000});
  sharding.forward_prefetch = reader.get<bool>("forward_prefetch", true);
  sharding.backward_prefetch = reader.get<bool>("backward_prefetch", true);
  sharding.prefetch_bucket = read_size(reader, "prefetch_bucket");
  if (sharding.prefetch_bucket && reader.has("units_in_flight")) {
    reader.fail("prefetch_bucket",
                "stands beside units_in_flight: only one can say how much is "
                "gathered ahead");
  }
  sharding.max_live = read_size(reader, "max_live");
  sharding.persistence_threshold = read_size(reader, "persistence_threshold").value_or(Bytes(0));
  if (reader.has("gather_unit")) {
    sharding.gather_by_tensor = reader.choice<bool>("gather_unit", kGatherUnits);
  }
}

/// The checks of one run.
class Check {
 public:
  Check(const Run& run, config::Diagnostics& diagnostics)
      : run_(run), sharding_(run.sharding), diagnostics_(diagnostics) {}

  void all() {
    gradients();
    parameters();
    secondary();
    averaging();
    offload();
    grids();
  }

 private:
  [[nodiscard]] bool has(std::string_view key) const { return sharding_.places.contains(key); }
  void fail(std::string_view key, const std::string& message) {
    const auto place = sharding_.places.find(key);
    diagnostics_.add(place == sharding_.places.end() ? config::Position{} : place->second,
                     "sharding." + std::string(key), message);
  }
  void fail_offload(std::string_view key, const std::string& message) {
    const auto place = run_.offload.places.find(key);
    diagnostics_.add(place == run_.offload.places.end() ? config::Position{} : place->second,
                     "offload." + std::string(key), message);
  }
  [[nodiscard]] std::string zero() const { return "zero " + std::to_string(run_.parallel.zero); }
  [[nodiscard]] bool ends_slanted() const {
    return pipeline_schedule(run_.parallel.schedule).end == StepEnd::stage_by_stage &&
           run_.parallel.pipeline > 1;
  }

  void gradients() {
    if (has("first_bucket") && run_.parallel.zero == 3 && !sharding_.gradient_bucket) {
      fail("first_bucket",
           "has no effect with zero 3, which reduces layer by layer unless "
           "gradient_bucket is given");
    }
    if (sharding_.reduce_every_micro_batch.value_or(false) && run_.parallel.pipeline > 1) {
      fail("reduce_every_micro_batch", "is not modelled with pipeline " +
                                           std::to_string(run_.parallel.pipeline) +
                                           ": a pipeline reduces after the last micro-batch");
    }
    if (has("sum_replicas_every_micro_batch") && run_.shards() == run_.replicas()) {
      fail("sum_replicas_every_micro_batch",
           "has no effect: nothing is repeated unless [parallel] shard is less than the " +
               std::to_string(run_.replicas()) + " replicas");
    }
  }

  void parameters() {
    for (const std::string_view key : kZero3Keys) {
      if (has(key) && run_.parallel.zero < 3) {
        fail(key, "has no effect with " + zero() + ": only zero 3 shards parameters");
      }
    }
    if (has("max_live") && run_.parallel.zero < 3) {
      fail("max_live", "has no effect with " + zero() + ": only zero 3 shards parameters");
    }
    const bool gathers_updated = run_.parallel.zero == 1 || run_.parallel.zero == 2;
    if (has("overlap_parameters") && !gathers_updated) {
      fail("overlap_parameters",
           "has no effect with " + zero() + ": only zero 1 and 2 gather updated parameters");
    }
    if (sharding_.overlap_parameters.value_or(false) && run_.stack.gathers_by_broadcasts) {
      fail("overlap_parameters", "the stack hands parameters out by broadcasts after the update");
    }
    if (has("gather_bucket") && (!gathers_updated || overlaps_parameters(run_))) {
      fail("gather_bucket",
           "has no effect: only zero 1 and 2 gather in buckets, where they do not "
           "overlap with the next forward, layer by layer");
    }
  }

  void secondary() {
    if (!sharding_.secondary_shard) {
      return;
    }
    const std::int64_t size = *sharding_.secondary_shard;
    if (!reshards_after_forward(run_)) {
      fail("secondary_shard",
           "has no effect where parameters stay gathered: "
           "reshard_after_forward is false, as it is by default in a pipeline");
    } else if (size >= run_.shards() || run_.shards() % size != 0) {
      fail("secondary_shard", std::to_string(size) + " is no part of the " +
                                  std::to_string(run_.shards()) +
                                  " ranks that share parameters: it must divide them and be less");
    }
  }

  void averaging() {
    if (!sharding_.averages()) {
      if (has("island")) {
        fail("island", "has no effect without average_every of 2 or more");
      }
      return;
    }
    const std::int64_t island = run_.summed_replicas();
    if (run_.replicas() % island != 0 || island >= run_.replicas()) {
      fail("average_every", "island " + std::to_string(island) + " is no part of the " +
                                std::to_string(run_.replicas()) +
                                " replicas: it must divide them and be less");
    } else if (island % run_.parallel.context != 0) {
      fail("island", std::to_string(island) + " splits the " +
                         std::to_string(run_.parallel.context) + " ranks that share a sequence");
    }
    if (run_.parallel.zero > 0 && run_.shards() != island) {
      fail("average_every", "shard " + std::to_string(run_.shards()) + " must be the island of " +
                                std::to_string(island) + " replicas; leave [parallel] shard out");
    }
    if (run_.offload.optimizer || ends_slanted()) {
      fail("average_every",
           "is not modelled with an offloaded optimizer or a schedule whose "
           "stages end a step one after the other");
    }
  }

  // Groups of these are of one grid, and their host of one set of states.
  void grids() {
    const bool is_twofold = copies(run_.placement()) > 1;
    if (!has_expert_grid(run_) && !is_twofold) {
      return;
    }
    const std::string why =
        is_twofold ? "is not modelled with schedule " + run_.parallel.schedule +
                         ", which holds the model twice"
                   : std::string("is not modelled with experts on a grid of their own");
    if (sharding_.secondary_shard) {
      fail("secondary_shard", why);
    }
    if (sharding_.averages()) {
      fail("average_every", why);
    }
    if (run_.offload.optimizer) {
      fail_offload("optimizer", why);
    }
  }

  void offload() {
    const Offload& offload = run_.offload;
    if (!offload.optimizer) {
      for (const char* key : {"parameters", "delayed_update"}) {
        if (offload.places.contains(key) && (offload.parameters || offload.delayed_update)) {
          fail_offload(key, "needs optimizer = true: the host updates what it holds");
          return;
        }
      }
      return;
    }
    if (run_.parallel.zero == 0) {
      fail_offload("optimizer",
                   "needs zero 1 or more, also on one GPU: else every replica would "
                   "update everything on its host");
    }
    if (offload.parameters && run_.parallel.zero < 3) {
      fail_offload("parameters", "needs zero 3: with " + zero() + " every GPU holds them all");
    }
    if (ends_slanted()) {
      fail_offload("optimizer", "is not modelled with schedule " + run_.parallel.schedule +
                                    ", whose stages end a step one after the other");
    }
    if (optimizer(run_.training.optimizer).kernels != nullptr) {
      fail_offload("optimizer", "is not modelled with optimizer " + run_.training.optimizer +
                                    ", whose step multiplies matrices");
    }
    for (const Cluster* kind : run_.cluster.kinds()) {
      if (!kind->host) {
        fail_offload("optimizer",
                     "platform '" + kind->name +
                         "' does not say what its hosts can hold and how GPUs reach them: its file "
                         "needs a table [host] with memory, memory_rate and link_rate");
      }
    }
  }

  const Run& run_;
  const Sharding& sharding_;
  config::Diagnostics& diagnostics_;
};

}  // namespace

Sharding read_sharding(Reader reader) {
  Sharding sharding;
  sharding.overlap_gradients = reader.maybe<bool>("overlap_gradients");
  sharding.gradient_bucket = read_size(reader, "gradient_bucket");
  sharding.first_bucket = read_size(reader, "first_bucket");
  sharding.reduce_every_micro_batch = reader.maybe<bool>("reduce_every_micro_batch");
  sharding.sum_replicas_every_micro_batch =
      reader.get<bool>("sum_replicas_every_micro_batch", true);
  sharding.overlap_parameters = reader.maybe<bool>("overlap_parameters");
  sharding.gather_bucket = read_size(reader, "gather_bucket");
  read_zero3(reader, sharding);
  sharding.average_every = reader.count("average_every", 1, Range{1, 1'000'000});
  sharding.island = reader.maybe_count("island", Range{1, 1'000'000});
  note_places(reader, sharding.places);
  reader.finish(kShardingAliases);
  return sharding;
}

Offload read_offload(Reader reader) {
  Offload offload;
  offload.optimizer = reader.get<bool>("optimizer", false);
  offload.parameters = reader.get<bool>("parameters", false);
  offload.delayed_update = reader.get<bool>("delayed_update", false);
  note_places(reader, offload.places);
  reader.finish(kOffloadAliases);
  return offload;
}

void check_sharding(const Run& run, config::Diagnostics& diagnostics) {
  Check(run, diagnostics).all();
}

}  // namespace foretrain
