// SPDX-License-Identifier: Apache-2.0
// The run files of --live: what they ask for, and that they resolve.
#include "validation/live/settings.hpp"

#include <algorithm>
#include <set>

#include "strategies/plan.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"
#include "tests/support/scratch_folder.hpp"
#include "validation/live/platform_files.hpp"

namespace foretrain::live {
namespace {

using testing::kRoot;

constexpr BytesPerSecond kRate{50e6};

/// A folder with a platform at kRate, and runs resolved in it.
class Folder {
 public:
  Folder() {
    const std::string fitted =
        "[gemm.fp32]\nefficiency = 0.8\nbandwidth = 0.8\nfloor = \"1 us\"\n"
        "[flash.flash2]\nforward = 0.3\nforward_tail = 0\nbackward = 0.3\nbackward_tail = 0\n";
    MemoryRates memory;
    memory.stream = BytesPerSecond(10e9);
    memory.optimizer_bytes = 28;
    const std::string base = gpu_base(memory, FlopsPerSecond(50e9), "a \"test\"");
    folder_.write("gpu.toml",
                  gpu_file("weight_gradient = 1.0\n" + base + fitted, {0.9, Seconds(0)}));
    folder_.write(cluster_file(kRate), cluster_base({"a test", kRate, Seconds(60e-6), 0.25}));
    folder_.write("stack.toml", stack_file(memory, {0.9, Seconds(2e-6)}));
  }
  [[nodiscard]] Run run(const std::string& text) const {
    config::Sources sources;
    const config::Value tree = config::parse_toml(sources, "run.toml", text);
    config::Diagnostics diagnostics;
    config::Reader reader(tree, "", diagnostics);
    const RunFile file = read_run(reader);
    diagnostics.throw_if_any();
    return resolve(file, sources,
                   {kRoot + "/models", kRoot + "/platforms", kRoot + "/strategies/stacks"},
                   folder_.path());
  }

 private:
  testing::ScratchFolder folder_;
};

Run run_of(const std::string& strategy, const std::vector<CodecRate>& codecs = {}) {
  const Folder folder;
  return folder.run(
      run_file({&live_models().front(), &live_strategy(strategy), kRate, Straggler::none}, codecs));
}

}  // namespace

TEST_CASE("every setting resolves to two ranks, each a node of its own", "[live]") {
  const Folder folder;
  for (const Setting& setting : settings_of({{kRate}, false})) {
    INFO(setting.id());
    const Run run = folder.run(run_file(setting, {}));
    CHECK(run.num_gpus() == 2);
    CHECK(run.nodes == 2);
    CHECK(run.training.precision == Dtype::fp32);
    CHECK(run.model.hidden == setting.model->hidden);
    CHECK(run.tokens_per_step() == static_cast<double>(128 * setting.model->sequences));
  }
}

TEST_CASE("strategies of live settings are what their names say", "[live]") {
  CHECK(run_of("zero-3").parallel.zero == 3);
  CHECK(run_of("tensor").parallel.tensor == 2);
  const Run pipeline = run_of("pipeline");
  CHECK(pipeline.parallel.pipeline == 2);
  CHECK(pipeline.training.global_batch / pipeline.training.micro_batch == 8);
  CHECK(run_of("ddp").compression.at(WirePlace::gradients) == nullptr);
  CHECK(run_of("ddp-top-k").compression.at(WirePlace::gradients)->method->name == "top-k");
}

TEST_CASE("a codec's measured rates reach the run that uses it, and no other", "[live]") {
  const std::vector<CodecRate> codecs = {{"block-int8", BytesPerSecond(1e9), BytesPerSecond(2e9)}};
  const Run coded = run_of("ddp-int8", codecs);
  const auto& rates = coded.compression.at(WirePlace::gradients)->rates;
  REQUIRE(rates);
  CHECK(rates->encode.value == Catch::Approx(1e9));
  CHECK(rates->decode.value == Catch::Approx(2e9));
  CHECK_FALSE(run_of("ddp-fp16", codecs).compression.at(WirePlace::gradients)->rates);
}

TEST_CASE("the platform of live settings is what was measured", "[live]") {
  const Run run = run_of("ddp");
  CHECK(run.cluster.fabric.rate.value == kRate);
  CHECK(run.cluster.fabric.point_to_point_latency.value.value == Catch::Approx(60e-6));
  CHECK(run.cluster.fabric.compute_share->value == Catch::Approx(0.25));
  CHECK(run.cluster.gpu.sustained.value == Catch::Approx(0.9));
  CHECK(run.cluster.gpu.peak.at(Dtype::fp32).value.value == Catch::Approx(55e9));
  CHECK(run.stack.optimizer_bytes.value == Catch::Approx(28));
  CHECK(run.stack.host_per_layer.value.value == Catch::Approx(2e-6));
}

TEST_CASE("a lone rank does one rank's share of the DDP step", "[live]") {
  const Folder folder;
  const Run lone = folder.run(lone_run_file(live_models().front(), kRate));
  CHECK(lone.num_gpus() == 1);
  CHECK(2 * lone.tokens_per_step() == run_of("ddp").tokens_per_step());
}

TEST_CASE("a platform at another rate differs in its rate alone", "[live]") {
  const std::string text = cluster_base({"a test", kRate, Seconds(60e-6), 0.25});
  std::string other = cluster_at(text, BytesPerSecond(75e6));
  CHECK(other.find("\"50 MB/s\"") == std::string::npos);
  for (std::size_t at = 0; (at = other.find("75 MB/s", at)) != std::string::npos;) {
    other.replace(at, 2, "50");
  }
  config::Sources sources;
  CHECK(other == config::to_toml(config::parse_toml(sources, "c.toml", text)));
}

TEST_CASE("ids of settings differ, and rates are in tc's words", "[live]") {
  std::set<std::string> ids;
  const auto settings =
      settings_of({{BytesPerSecond(25e6), BytesPerSecond(75e6), BytesPerSecond(250e6)}, false});
  for (const Setting& setting : settings) {
    ids.insert(setting.id());
  }
  CHECK(ids.size() == settings.size());
  CHECK(ids.contains("small ddp 200Mbit"));
  CHECK(ids.contains("large ddp 600Mbit straggler"));
  CHECK(tc_rate(kLoopback) == "loopback");
  // What CI has the time for: five strategies of one model, and a straggler.
  CHECK(settings_of({{kRate, BytesPerSecond(250e6)}, true}).size() == 11);
}

}  // namespace foretrain::live
