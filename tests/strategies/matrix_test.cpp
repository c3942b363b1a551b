// Everything with everything: run files drawn from all keys together are either played, and keep
// what a training step conserves, or refused with a reason that names a key.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "sim/core/error.hpp"
#include "sim/core/random.hpp"
#include "sim/study/simulate.hpp"
#include "strategies/compress/compressor.hpp"
#include "strategies/lower.hpp"
#include "strategies/optimizer/optimizer.hpp"
#include "strategies/parallel/context/kind.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;

/// Lines of a run file by the table that they stand in; "" is the top.
using Lines = std::map<std::string, std::string>;

/// One key or a few that belong together, and what it may be; the first is "leave it out".
struct Axis {
  std::string table;
  std::vector<std::string> choices;
};

std::vector<std::string> with_names(const std::string& before, const auto& rows,
                                    const std::string& after = "\"") {
  std::vector<std::string> lines = {""};
  for (const auto& row : rows) {
    lines.push_back(before + std::string(row.name) + after);
  }
  return lines;
}

std::vector<std::string> pipelines() {
  std::vector<std::string> lines = {"", ""};
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    const std::string name = "\nschedule = \"" + std::string(schedule.name) + "\"";
    lines.push_back("pipeline = 2" + name);
    lines.push_back("pipeline = 4\nvirtual_stages = 2" + name);
  }
  return lines;
}

// Nothing is padded: 1,024 words are a multiple of 128 per rank, 8 layers deal out over 4 x 2
// chunks.
constexpr std::array<std::string_view, 2> kModels = {
    R"(kv_heads = 8
)",
    R"(kv_heads = 8
[model.mixture_of_experts]
experts = 8
experts_per_token = 2
ffn = 256
)"};

std::vector<Axis> axes() {
  return {
      {"parallel", {"", "", "tensor = 2", "tensor = 2\nsequence_parallel = true", "tensor = 4"}},
      {"parallel", pipelines()},
      {"parallel", {"", "", "context = 2", "context = 4"}},
      {"parallel", with_names("context_kind = \"", context_kinds())},
      {"parallel", {"", "", "expert = 2", "expert = 4", "expert = 8\nexpert_tensor = 1"}},
      {"parallel", {"zero = 0", "zero = 1", "zero = 2", "zero = 3", "zero = 3\nshard = 2"}},
      {"parallel", {"", "", "order = \"tensor-context-pipeline-data\""}},
      {"training",
       {"", "", "recompute = \"selective\"", "recompute = \"operators\"", "recompute = \"full\"",
        "recompute = \"full\"\nrecompute_every = 2"}},
      {"training", with_names("optimizer = \"", optimizers())},
      {"training", {"", "", "precision = \"fp16\"", "precision = \"fp32\"", "precision = \"fp8\""}},
      {"training", {"", "", "", "lora = { rank = 8 }", "frozen = [\"embedding\"]"}},
      {"sharding",
       {"", "", "gather_unit = \"tensor\"", "reshard_after_forward = false", "secondary_shard = 4",
        "average_every = 4", "units_in_flight = 3", "persistence_threshold = \"1 KiB\""}},
      {"offload", {"", "", "optimizer = true", "optimizer = true\nparameters = true"}},
      {"compression", with_names("gradients = { method = \"", compressors(), "\" }")},
      {"compression", with_names("parameters = { method = \"", compressors(), "\" }")},
      {"compression",
       {"", "", "tensor = { method = \"block-int8\" }", "tensor = { method = \"entropy\" }"}},
      {"compression", {"", "", "pipeline = { method = \"cast\", to = \"fp8\" }"}},
      {"compression", {"", "", "experts = { method = \"block-int8\", chunks = 2 }"}},
  };
}

std::string text_of(const std::string_view model, const Lines& lines) {
  std::string text = "platform = \"dgx-h100\"\nnodes = 2\nstack = \"megatron-core-2024\"\n";
  text += R"([training]
sequence_length = 256
global_batch = 64
micro_batch = 1
)";
  const auto of = [&lines](const std::string& table) {
    const auto found = lines.find(table);
    return found == lines.end() ? "" : found->second;
  };
  text += of("training") + "[parallel]\n" + of("parallel");
  for (const char* table : {"sharding", "offload", "compression"}) {
    text += "[" + std::string(table) + "]\n" + of(table);
  }
  return text + R"([model]
name = "small"
source = "a test"
layers = 8
hidden = 128
heads = 8
head_dim = 16
ffn = 512
vocabulary = 1024
mlp = "gated"
norm = "rms_norm"
position = "rotary"
)" + std::string(model);
}

/// Draws one choice on each axis; two times of three an axis is left alone, so that runs are not
/// all refused.
std::string draw(std::uint64_t number, const std::vector<Axis>& all) {
  std::uint64_t draws = 0;
  const auto below = [&](std::size_t most) {
    return static_cast<std::size_t>(random_word({number, ++draws}) % most);
  };
  Lines lines;
  const std::string_view model = kModels[below(kModels.size())];
  for (const Axis& axis : all) {
    const std::string& choice = axis.choices[below(axis.choices.size())];
    if (below(3) == 0 && !choice.empty()) {
      lines[axis.table] += choice + "\n";
    }
  }
  return text_of(model, lines);
}

// Products of the model's passes on all GPUs, without attention's fused kernels (whose FLOPs depend
// on how a sequence is cut) and without those of optimizers and compressors.
Flops products(const Program& program) {
  Flops sum;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    for_every_op(program, Rank(rank), [&](const Op& op) {
      const auto* kernels = std::get_if<Kernels>(&op.action);
      if (kernels == nullptr || op.phase == Phase::optimizer || op.phase == Phase::compression) {
        return;
      }
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        const auto* gemm = std::get_if<Gemm>(&kernel.shape);
        sum += gemm != nullptr ? flops(kernel) : Flops(0);
      }
    });
  }
  return sum;
}

/// The same work on one GPU.
Run alone(Run run) {
  run.parallel = {};
  run.sharding = {};
  run.offload = {};
  run.compression = {};
  run.nodes = 1;
  run.gpus = 1;
  return run;
}

// The router runs whole on every rank of a tensor-parallel group that does not dispatch.
double router_again(const Run& run) {
  if (!run.model.moe || shard_of(run).dispatches()) {
    return 0;
  }
  const Work one = layer_work(run.model, shard_of(alone(run)));
  double router = 0;
  double all = 0;
  for (const Step& step : one.forward) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      const double work = flops(Kernel{NameId(0), *gemm}).value;
      all += work;
      router += step.name == "router" ? work : 0;
    }
  }
  return router / all * static_cast<double>(run.parallel.tensor - 1);
}

void check_conserved(const Run& run) {
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  const double whole = products(lower(alone(run))).value;
  const double spread = products(program).value;
  // What runs again on every rank of a tensor-parallel group: the router, and the narrow halves of
  // adapters, whose r columns are little beside the 128 of the model.
  const double adapters =
      run.training.tuning.lora_rank > 0 ? 0.02 * static_cast<double>(run.parallel.tensor - 1) : 0.0;
  CHECK(spread >= whole * (1 - 1e-9));
  CHECK(spread <= whole * (1 + router_again(run) + adapters) * (1 + 1e-9));
  const Simulation simulation = simulate(run);
  const Breakdown& parts = simulation.prediction.breakdown;
  CHECK(parts.total() == parts.step);
  CHECK(parts.step.count > 0);
  // No step is shorter than its work on all GPUs at their peak.
  const double peak = run.cluster.gpu.peak.at(Dtype::fp8).value.value;
  CHECK(parts.step.seconds().value > spread / (peak * static_cast<double>(run.num_gpus())));
}

}  // namespace

TEST_CASE("every combination is played and conserves its work, or is refused with its reason",
          "[matrix]") {
  const std::vector<Axis> all = axes();
  std::size_t played = 0;
  std::size_t refused = 0;
  std::set<std::string> schedules;
  std::set<std::string> optimizers_played;
  std::set<std::string> compressors_played;
  for (std::uint64_t number = 0; number < 1500; ++number) {
    const std::string text = draw(number, all);
    INFO(text);
    config::Sources sources;
    try {
      const Run run =
          resolve(read_run_text(text, sources), sources, source_catalogue(), FORETRAIN_SOURCE_DIR);
      check_conserved(run);
      ++played;
      schedules.insert(run.parallel.schedule);
      optimizers_played.insert(run.training.optimizer);
      for (const WirePlace place : kWirePlaces) {
        if (const WireCompression* how = run.compression.at(place)) {
          compressors_played.insert(std::string(how->method->name));
        }
      }
    } catch (const ConfigError& error) {
      ++refused;
      for (const Diagnostic& diagnostic : error.diagnostics()) {
        CHECK_FALSE(diagnostic.key.empty());
        CHECK_FALSE(diagnostic.message.empty());
        CHECK(diagnostic.line > 0);
      }
    }
  }
  CHECK(played > 300);
  CHECK(refused > 300);
  CHECK(compressors_played.size() == compressors().size());
  CHECK(schedules.size() == pipeline_schedules().size());
  CHECK(optimizers_played.size() == optimizers().size());
}

}  // namespace foretrain::testing
