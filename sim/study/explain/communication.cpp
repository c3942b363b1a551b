// What a GPU of the first stage sends in a step, by parallel axis: the closed form of each, and
// what the collectives and messages of the program add up to.
// SPDX-License-Identifier: Apache-2.0
#include <map>

#include <fmt/format.h>

#include "sim/study/explain/explain.hpp"
#include "strategies/collective/collective.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

double number(std::int64_t count) { return static_cast<double>(count); }

// A rank of n sends this share of a gathered or scattered vector; of a summed one twice as much.
double share(std::int64_t ranks) { return number(ranks - 1) / number(ranks); }

/// Bytes that a rank sends, by axis: payloads of collectives times their bus factor, and messages.
using Sent = std::map<std::string, double>;
Sent sent_by(const Program& program, Rank rank) {
  Sent sent;
  for (const Stream& stream : program.body_of(rank).streams) {
    for (const Op& op : stream.ops) {
      if (const auto* send = std::get_if<Send>(&op.action)) {
        sent["pipeline"] += send->payload.value;
      } else if (const auto* collective = std::get_if<Collective>(&op.action)) {
        const GroupId id = program.ranks[rank.index()].communicators[collective->communicator];
        const Group& group = program.groups[id.index()];
        sent[program.text(group.axis)] +=
            bus_factor(collective->kind, group.members.size()) * collective->payload.value;
      }
    }
  }
  return sent;
}

double wire_bytes(const Run& run) {
  return std::max(Bytes(2), size_of(run.training.precision)).value;
}

Term data_term(const Run& run, const StageShape& shape) {
  const double gradients = number(shape.parameters) * gradient_size(run).value;
  const double parameters = number(shape.parameters) * gathered_size(run).value;
  const double reductions = shards_gradients(run) ? number(run.num_micro_batches()) : 1;
  Term term;
  term.quantity = "data";
  term.unit = "B";
  if (run.parallel.zero == 0) {
    term.formula = "2 (n - 1) / n G";
    term.numbers =
        fmt::format("2 x {} / {} x {}", run.holders() - 1, run.holders(), si(gradients, "B"));
    term.value = 2 * share(run.holders()) * gradients;
    term.source = "all-reduce of the gradients G; Rajbhandari et al. 2020, section 7: 2 P";
    return term;
  }
  const bool is_every_pass = run.parallel.zero == 3 && run.parallel.pipeline == 1;
  const double gathers = is_every_pass ? 2 * number(run.num_micro_batches()) : 1;
  term.formula = "(n - 1) / n (reductions G + gathers W)";
  term.numbers = fmt::format("{} / {} x ({} x {} + {} x {})", run.shards() - 1, run.shards(),
                             reductions, si(gradients, "B"), gathers, si(parameters, "B"));
  term.value = share(run.shards()) * (reductions * gradients + gathers * parameters);
  term.source =
      "reduce-scatter of the gradients G, all-gather of the parameters W; Rajbhandari et "
      "al. 2020, section 7: 2 P, under ZeRO-3 3 P";
  return term;
}

// Micro-batches that pass through a layer of a stage: half of them where a pipeline holds two
// copies.
std::int64_t passes_of_layer(const Run& run) {
  return run.num_micro_batches() / copies(run.placement());
}

// Collectives of a layer and micro-batch, as many all-reduces.
double all_reduces(const Run& run) {
  const double forward = run.model.parallel_residual ? 1 : 2;
  const bool is_again = run.training.recompute == Recompute::full;
  return forward + 2 + (is_again ? forward : 0);
}

Term tensor_term(const Run& run, const StageShape& shape) {
  const double passes = number(shape.num_layers() * passes_of_layer(run));
  const double stream = stream_bytes(run, shape.layer(0).work).value;
  // With sequence parallelism each input of a region is gathered once more in backward.
  const double again = run.parallel.sequence_parallel ? 2 : 0;
  Term term;
  term.quantity = "tensor";
  term.formula = again > 0 ? "L m (2 A + 2) (t - 1) / t S" : "L m 2 A (t - 1) / t S";
  term.numbers = fmt::format("{} x {} x {} x {} / {} x {}", shape.num_layers(),
                             passes_of_layer(run), 2 * all_reduces(run) + again,
                             run.parallel.tensor - 1, run.parallel.tensor, si(stream, "B"));
  term.value = passes * (2 * all_reduces(run) + again) * share(run.parallel.tensor) * stream;
  term.unit = "B";
  term.source =
      "Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2.2: A "
      "all-reduces, or gathers and scatters, of the stream S; embedding and loss extra";
  return term;
}

// Messages of the first stage for one micro-batch.
std::int64_t messages_of_first(const Run& run, const StageShape& shape) {
  switch (run.placement()) {
    case ChunkPlacement::round_robin:
      return 2 * shape.chunks - 1;
    case ChunkPlacement::v_shape:  // an activation there, and a gradient
      return 2;
    case ChunkPlacement::both_ways:  // half of the micro-batches go there, half come
      return 1;
  }
  return 0;
}

Term pipeline_term(const Run& run, const StageShape& shape) {
  const bool is_shared = run.parallel.sequence_parallel || run.stack.scatter_gather;
  const double ranks = is_shared ? number(run.parallel.tensor) : 1;
  const double stream = stream_bytes(run, shape.layer(0).work).value;
  const std::int64_t each = messages_of_first(run, shape);
  const double messages = number(run.num_micro_batches() * each);
  Term term;
  term.quantity = "pipeline";
  term.formula = run.placement() == ChunkPlacement::round_robin ? "m (2 v - 1) S / t" : "m k S / t";
  term.numbers =
      fmt::format("{} x {} x {} / {}", run.num_micro_batches(), each, si(stream, "B"), ranks);
  term.value = messages * stream / ranks;
  term.unit = "B";
  term.source =
      "Narayanan et al., SC'21, section 4.1: an activation on, or a gradient back, per "
      "micro-batch and chunk; the first stage sends no gradient of its first chunk";
  return term;
}

Term context_term(const Run& run, const StageShape& shape) {
  const double keys = number(run.training.micro_batch * run.training.sequence_length) *
                      number(2 * run.model.kv_heads / run.parallel.tensor * run.model.head_dim) *
                      wire_bytes(run);
  const double passes = run.training.recompute == Recompute::none ? 3 : 4;
  Term term;
  term.quantity = "context";
  term.formula = "L m passes (c - 1) / c KV";
  term.numbers =
      fmt::format("{} x {} x {} x {} / {} x {}", shape.num_layers(), passes_of_layer(run), passes,
                  run.parallel.context - 1, run.parallel.context, si(keys, "B"));
  term.value = number(shape.num_layers() * passes_of_layer(run)) * passes *
               share(run.parallel.context) * keys;
  term.unit = "B";
  term.source =
      "Llama Team 2024, section 3.3.2: keys and values forward and backward, their "
      "gradients once";
  return term;
}

std::vector<Term> closed_forms(const Run& run, const StageShape& shape) {
  std::vector<Term> terms;
  if (run.holders() > 1) {
    terms.push_back(data_term(run, shape));
  }
  if (run.parallel.tensor > 1) {
    terms.push_back(tensor_term(run, shape));
  }
  if (run.parallel.pipeline > 1) {
    terms.push_back(pipeline_term(run, shape));
  }
  if (run.parallel.context > 1) {
    terms.push_back(context_term(run, shape));
  }
  return terms;
}

}  // namespace

Chapter explain_communication(const Run& run, const Simulation& simulation) {
  const StageShape shape = stage_shape(run, 0);
  Chapter chapter{"Sent by a GPU of the first stage in a step", {}};
  Sent sent = sent_by(simulation.program, Rank(0));
  for (Term& term : closed_forms(run, shape)) {
    term.counted = sent[term.quantity];
    term.counted_where = "program";
    sent.erase(term.quantity);
    chapter.terms.push_back(std::move(term));
  }
  for (const auto& [axis, bytes] : sent) {  // small: norms, tied embeddings
    chapter.terms.push_back({axis, "", "", bytes, "B", "read off the program", {}, ""});
  }
  return chapter;
}

}  // namespace foretrain
