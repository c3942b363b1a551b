// [reliability]: data files, keys over them, mistakes, and what a job comes to.
// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/cli.hpp"
#include "sim/config/catalogue.hpp"
#include "sim/study/goodput/goodput.hpp"
#include "sim/study/goodput/reliability.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"
#include "tests/support/text.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using foretrain::testing::has;
using foretrain::testing::kRoot;

namespace foretrain::goodput::testing {
namespace {

using namespace foretrain::literals;

const std::string kFolder = kRoot + "/platforms/reliability";

Reliability read(const std::string& toml) {
  config::Sources sources;
  const config::Value value = config::parse_toml(sources, "run.toml", toml);
  return load_reliability(sources, value, kFolder, "");
}

std::string mistake(const std::string& toml) {
  try {
    static_cast<void>(read(toml));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

Size size_of(std::int64_t nodes) {
  Size size;
  size.nodes = nodes;
  size.gpus = 8 * nodes;
  size.nics_per_node = 8;
  size.step_time = Seconds(5);
  size.tokens_per_step = 1e6;
  size.checkpoint = 1000_GB;
  return size;
}

Job job_of(const std::string& toml, std::int64_t nodes) {
  return goodput::job_of(read("duration = \"54 d\"\n" + toml), size_of(nodes), std::nullopt);
}

double failures_in(const Job& job, Seconds time) { return time / between_failures(job); }

TEST_CASE("every file of failure rates reads, and each of its numbers has a source", "[study]") {
  for (const std::string& name : config::names_in(kFolder)) {
    INFO(name);
    const Reliability reliability = read("rates = \"" + name + "\"");
    CHECK(reliability.rates == name);
    CHECK(reliability.checkpoint.write.is_given());
    for (const Fact& fact : facts(reliability)) {
      INFO(fact.name);
      CHECK(fact.source.size() > 8);
    }
    CHECK(reliability_sentence(name, kFolder).size() > 8);
  }
}

TEST_CASE("the rates of the files are those of the runs that they are from", "[study]") {
  const Seconds day(86400);
  // Llama 3: 419 unexpected interruptions of 16,384 GPUs in 54 days.
  CHECK_THAT(failures_in(job_of("", 2048), 54.0 * day), WithinAbs(419, 0.5));
  // OPT-175B: two machines a day of 124. BLOOM: one GPU a week of 384, and 3 hangs in 108 days.
  CHECK_THAT(failures_in(job_of("rates = \"opt-175b-a100\"", 124), day), WithinRel(2.0, 1e-3));
  CHECK_THAT(failures_in(job_of("rates = \"bloom-a100\"", 48), 7.0 * day),
             WithinRel(1.0 + 3 * 7.0 / 108, 1e-3));
  // RSC-1: 6.50 in 1,000 node days.
  CHECK_THAT(failures_in(job_of("rates = \"rsc-1-a100\"", 1000), day), WithinRel(6.5, 1e-3));
  CHECK(between_failures(job_of("rates = \"usual\"", 1000)) == kNever);
}

TEST_CASE("keys of a run stand over those of the file that it names", "[study]") {
  const Reliability usual = read("");
  CHECK(usual.rates == kUsualRates);
  const Reliability changed = read(R"(
detection = "30 s"
restart   = { value = "2 min", source = "our runs in May 2026", basis = "measured" }
spares    = 3
[gpu]
mtbf  = "1000 h"
shape = 0.8
age   = "90 d"
[node]
mtbf = "never"
)");
  CHECK(changed.detection.value == Seconds(30));
  CHECK(changed.detection.source == "the run file");
  CHECK(changed.restart.value == Seconds(120));
  CHECK(changed.restart.source == "our runs in May 2026");
  CHECK(changed.of(PartKind::gpu).mean_time->value == Seconds(3.6e6));
  CHECK(changed.of(PartKind::gpu).shape.value == 0.8);
  CHECK(changed.of(PartKind::gpu).age == Seconds(90 * 86400.0));
  CHECK_FALSE(changed.of(PartKind::node).mean_time);
  CHECK(changed.of(PartKind::link).mean_time->value == usual.of(PartKind::link).mean_time->value);
  CHECK(changed.swap.value == usual.swap.value);
}

TEST_CASE("parts are counted, and take out nodes, by their kind", "[study]") {
  const Job job = job_of(R"(
[switch]
mtbf   = "10000 h"
nodes  = 32
repair = "2 h"
)",
                         100);
  REQUIRE(job.parts.size() == kNumPartKinds);
  const auto parts = [&](PartKind kind) { return job.parts[static_cast<std::size_t>(kind)]; };
  CHECK(parts(PartKind::gpu).count == 800);
  CHECK(parts(PartKind::node).count == 100);
  CHECK(parts(PartKind::network_switch).count == 4);  // the last has four nodes below it
  CHECK(parts(PartKind::network_switch).nodes_lost == 32);
  CHECK(parts(PartKind::network_switch).repair == Seconds(7200));
  CHECK(parts(PartKind::link).count == 800);
  CHECK(parts(PartKind::software).count == 800);
  CHECK(parts(PartKind::software).nodes_lost == 0);
  CHECK(job.spares == 5);  // one in twenty
}

TEST_CASE("a kind of failure may take its own time to be noticed", "[study]") {
  const Job job = job_of("detection = \"1 min\"\n[software]\ndetection = \"9 h\"", 100);
  CHECK(job.detection == Seconds(60));
  CHECK(job.parts[static_cast<std::size_t>(PartKind::software)].detection == Seconds(9 * 3600));
  CHECK_FALSE(job.parts[static_cast<std::size_t>(PartKind::gpu)].detection);
}

TEST_CASE("storage is as fast as all of it or as its nodes, whichever is slower", "[study]") {
  const auto write = [](const std::string& keys, std::int64_t nodes) {
    return job_of("[checkpoint]\n" + keys, nodes).checkpointing.write.value;
  };
  CHECK_THAT(write("bandwidth = \"100 GB/s\"", 10), WithinRel(10.0, 1e-12));
  CHECK_THAT(write("bandwidth_per_node = \"1 GB/s\"", 10), WithinRel(100.0, 1e-12));
  const std::string both = "bandwidth = \"100 GB/s\"\nbandwidth_per_node = \"1 GB/s\"";
  CHECK_THAT(write(both, 10), WithinRel(100.0, 1e-12));
  CHECK_THAT(write(both, 1000), WithinRel(10.0, 1e-12));
  // Reading is as fast as writing unless said, also where the file below says it of another
  // storage.
  const Job same = job_of("restart = \"0 s\"\n[checkpoint]\nbandwidth = \"50 GB/s\"", 10);
  CHECK_THAT(same.restart.value, WithinRel(20.0, 1e-12));
  const Job faster = job_of(
      "restart = \"1 s\"\n[checkpoint]\nbandwidth = \"50 GB/s\"\nread_bandwidth = \"1 TB/s\"", 10);
  CHECK_THAT(faster.restart.value, WithinRel(2.0, 1e-12));
}

TEST_CASE("the interval is given or follows from a rule", "[study]") {
  const std::string storage = "bandwidth = \"100 GB/s\"\n";
  const auto plan = [&](const std::string& keys) {
    return job_of("[checkpoint]\n" + storage + keys, 2048).checkpointing;
  };
  const Seconds between = between_failures(job_of("", 2048));
  CHECK(plan("interval = \"17 min\"").interval == Seconds(17 * 60));
  CHECK_THAT(plan("interval = \"young\"").interval.value,
             WithinRel(std::sqrt(2 * 10 * between.value), 1e-12));
  CHECK(plan("").interval == plan("interval = \"daly\"").interval);
  // Asynchronous: the stall decides, but no checkpoint starts before the last one is written.
  const Checkpointing behind = plan("asynchronous = true\nblocking = 0.02");
  CHECK(behind.write == Seconds(10));
  CHECK_THAT(behind.stall.value, WithinRel(0.2, 1e-12));
  CHECK_THAT(behind.interval.value, WithinRel(std::sqrt(2 * 0.2 * between.value), 0.01));
  CHECK(plan("asynchronous = true\nblocking = 0").interval == Seconds(10));
}

TEST_CASE("mistakes in reliability are told with their place", "[study]") {
  CHECK(mistake("detecton = \"1 s\"") ==
        "run.toml:1:1: reliability: unknown key 'detecton'; did you mean 'detection'?\n"
        "  detecton = \"1 s\"\n  ^");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[gpu]\nmttf = \"9 h\"", "'mtbf'"},
      {"[gpu]\nmtbf = 9", "mtbf"},
      {"[gpu]\nmtbf = \"0 h\"", "expected more than zero"},
      {"[gpu]\nmtbf = \"ever\"", "expected a time"},
      {"[gpu]\nmtbf = \"never\"\nshape = 2", "has no effect without mtbf"},
      {"[gpu]\nshape = 0.1", "expected a number from 0.2 to 10"},
      {"[software]\nrepair = \"1 h\"", "has no effect"},
      {"[switch]\nmtbf = \"9 h\"", "how many nodes are below one switch"},
      {"rates = \"llama-3-h10\"", "llama-3-h100"},
      {"duration = \"0 s\"", "expected more than zero"},
      {"spares = -1", "spares"},
      {"spares = 1\nspare_share = 0.1", "say the same thing"},
      {"price = \"2.5\"", "expected a price such as"},
      {"[checkpoint]\ninterval = \"dayl\"", "daly"},
      {"[checkpoint]\ninterval = \"3 apples\"", "expected a time"},
      {"[checkpoint]\ninterval = \"0 s\"", "expected more than zero"},
      {"[checkpoint]\nblocking = 0.5", "has no effect without asynchronous"},
      {"[checkpoint]\nbandwidth = \"0 GB/s\"", "expected more than zero"},
      {"[stragglers]\nmtbf = \"9 h\"", "stragglers need mtbf, duration and slowdown"},
      {"[stragglers]\nmtbf = \"9 h\"\nduration = \"1 h\"\nslowdown = 0.9", "from 1 to 100"},
      {"[maintenance]\nduration = \"9 h\"", "from one maintenance to the next"},
  };
  for (const auto& [toml, expected] : cases) {
    INFO(toml << " -> " << mistake(toml));
    CHECK(has(mistake(toml), expected));
    CHECK(has(mistake(toml), "reliability"));
  }
}

TEST_CASE("whole replicas are dropped with whole nodes", "[study]") {
  CHECK(shrink_unit(128, 8) == 16);
  CHECK(shrink_unit(8, 8) == 1);
  CHECK(shrink_unit(2, 8) == 1);
  CHECK(shrink_unit(12, 8) == 3);  // two replicas
}

CheckpointSize size_in(const std::string& file, const std::vector<std::string>& sets = {}) {
  cli::LoadedRun loaded;
  cli::load_run({file, sets}, loaded);
  return checkpoint_size(loaded.run);
}

TEST_CASE("a checkpoint is the parameters and the optimizer's states", "[study]") {
  // BLOOM's: 176.247 G parameters of 2 + 4 + 4 + 4 bytes; 2.3 TB (TiB) by its chronicles.
  const CheckpointSize bloom = size_in(kRoot + "/validation/cases/bloom-176b-production.toml");
  CHECK_THAT(bloom.parameters, WithinRel(176.247e9, 1e-4));
  CHECK(bloom.parameter == Bytes(2));
  CHECK_THAT(bloom.optimizer.value, WithinRel(12.0, 1e-9));
  CHECK_THAT(bloom.total().value / (1024.0 * 1024 * 1024 * 1024), WithinAbs(2.3, 0.06));
}

TEST_CASE("a checkpoint of adapters leaves out what is frozen", "[study]") {
  const std::string file = kRoot + "/validation/cases/bloom-176b-production.toml";
  const CheckpointSize all = size_in(file);
  const CheckpointSize adapters = size_in(file, {"training.lora.rank=16"});
  CHECK(adapters.total() < 0.01 * all.total());
  CHECK(adapters.total() > Bytes(0));
}

}  // namespace
}  // namespace foretrain::goodput::testing
