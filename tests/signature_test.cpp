// Did simulated times change? One line per scenario in signature.txt: its step time in picoseconds
// and its peak memory in bytes. A change that means to move them rewrites the file
// (UPDATE_SIGNATURE=1) and says why in its commit.
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "sim/study/simulate.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"

namespace foretrain::testing {
namespace {

struct Scenario {
  const char* name;
  const char* run;
};

// Small enough for seconds, wide enough to touch every strategy.
constexpr Scenario kScenarios[] = {
    {"data parallel, gradients overlapped",
     "model = 'gpt2'\nplatform = 'dgx-a100-80gb'\nnodes = 2\n"
     "[training]\nsequence_length = 1024\nglobal_batch = 128\nmicro_batch = 4\n"},
    {"tensor and sequence parallel, selective, fp16",
     "model = 'gpt-22b'\nplatform = 'dgx-a100-80gb'\nnodes = 1\nstack = 'megatron-lm-2022'\n"
     "[training]\nsequence_length = 2048\nglobal_batch = 4\nmicro_batch = 4\nprecision = 'fp16'\n"
     "recompute = 'selective'\n[parallel]\ntensor = 8\nsequence_parallel = true\n"},
    {"1f1b, zero 1, full recomputation",
     "model = 'gpt-neox-20b'\nplatform = 'dgx-a100-40gb'\nnodes = 2\n"
     "stack = 'megatron-deepspeed-2022'\n[training]\nsequence_length = 2048\nglobal_batch = 64\n"
     "micro_batch = 4\nprecision = 'fp16'\nrecompute = 'full'\n"
     "[parallel]\ntensor = 2\npipeline = 4\nzero = 1\n"},
    {"interleaved, grouped-query attention, H100",
     "model = 'llama-3-8b'\nplatform = 'dgx-h100'\nnodes = 2\n"
     "[training]\nsequence_length = 8192\nglobal_batch = 16\nrecompute = 'none'\n"
     "[parallel]\ntensor = 4\npipeline = 2\nvirtual_stages = 4\n"},
    {"gpipe, mixture of experts",
     "model = 'mixtral-8x7b'\nplatform = 'dgx-h100'\nnodes = 4\n"
     "[training]\nsequence_length = 4096\nglobal_batch = 16\n"
     "[parallel]\ntensor = 8\npipeline = 2\nschedule = 'gpipe'\n"},
};

std::string line_of(const Scenario& scenario) {
  config::Sources sources;
  const config::Value root = config::parse_toml(sources, "run.toml", scenario.run);
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  const Run run = resolve(
      file, sources, {kRoot + "/models", kRoot + "/platforms", kRoot + "/strategies/stacks"}, "");
  const Prediction prediction = simulate(run).prediction;
  double peak = 0;
  for (const RoleMemory& role : prediction.memory) {
    peak = std::max(peak, role.peak.total().value);
  }
  std::ostringstream line;
  line << scenario.name << ": " << prediction.step_time.count << " ps, "
       << static_cast<std::int64_t>(peak) << " B\n";
  return line.str();
}

}  // namespace

TEST_CASE("simulated times and memory are those of signature.txt", "[signature]") {
  std::string now;
  for (const Scenario& scenario : kScenarios) {
    now += line_of(scenario);
  }
  const std::string path = kRoot + "/tests/signature.txt";
  if (std::getenv("UPDATE_SIGNATURE") != nullptr) {
    std::ofstream(path) << now;
  }
  std::ifstream file(path);
  const std::string before{std::istreambuf_iterator<char>(file), {}};
  CHECK(now == before);
}

}  // namespace foretrain::testing
