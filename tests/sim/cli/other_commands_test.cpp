// The commands memory, check, list and scale.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>

#include <nlohmann/json.hpp>

#include "sim/config/catalogue.hpp"
#include "sim/study/elasticity.hpp"
#include "strategies/collective/collective.hpp"
#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"

using Json = nlohmann::json;

namespace foretrain::testing {

TEST_CASE("memory says what each stage holds, in three formats", "[cli]") {
  const SmallRun small;
  const Outcome text = small("memory");
  CHECK(text.code == cli::kGood);
  CHECK(has(text.out, "GB per GPU"));
  CHECK(has(text.out, "stage 1"));
  const Json json = Json::parse(small("memory", {"--format", "json"}).out);
  CHECK(json.at("fits") == true);
  CHECK(json.at("memory") == Json::parse(small("simulate", {"--format", "json"}).out).at("memory"));
  const auto lines = split(small("memory", {"--format", "csv"}).out, '\n');
  REQUIRE(lines.size() == 3);
  for (const std::string& line : lines) {
    CHECK(split(line, ',').size() == split(lines[0], ',').size());
  }
}

TEST_CASE("collective prints times and bandwidths by payload", "[cli]") {
  const Outcome table = command_line({"collective", "dgx-h100", "--gpus", "16", "--from", "1 MiB",
                                      "--to", "4 MiB", "--format", "csv"});
  CHECK(table.code == cli::kGood);
  const auto lines = split(table.out, '\n');
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "size_bytes,algorithm,protocol,time_us,algbw_GBps,busbw_GBps");
  const auto cells = split(lines[1], ',');
  REQUIRE(cells.size() == 6);
  CHECK(cells[0] == "1048576");
  // bytes over time, and 2 * 15/16 of that
  CHECK(std::stod(cells[4]) == Approx(1048576 / std::stod(cells[3]) * 1e-3).epsilon(1e-3));
  CHECK(std::stod(cells[5]) == Approx(std::stod(cells[4]) * 1.875).epsilon(1e-3));
  const Outcome forced = command_line({"collective", "dgx-h100", "--algorithm", "nvls"});
  CHECK(has(forced.out, "nvls"));
  CHECK_FALSE(has(forced.out, "ring"));
}

TEST_CASE("collective refuses groups and names that there are not", "[cli]") {
  const auto refusal = [](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"collective", "dgx-h100"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Outcome outcome = command_line(arguments);
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    return outcome.talk;
  };
  CHECK(has(refusal({"--gpus", "12"}), "12 GPUs do not fill nodes of 8"));
  CHECK(has(refusal({"--gpus", "12", "--gpus-per-node", "12"}), "has 8 GPUs per node"));
  CHECK(has(refusal({"--algorithm", "nvls", "--gpus", "16"}), "'nvls' cannot serve this group"));
  CHECK(has(refusal({"--from", "0 B"}), "greater than zero"));
  CHECK(has(refusal({"--kind", "allreduce"}), "allreduce"));
  CHECK(has(command_line({"collective", "dgx-h10"}).talk, "did you mean"));
}

TEST_CASE("calibrate collectives checks a platform, and writes one that it fitted", "[cli]") {
  const std::string table = kRoot + "/validation/collectives.csv";
  const std::vector<std::string> check = {
      "calibrate", "collectives", table, "--base", "h200-node", "--where", "platform=h200-node"};
  std::vector<std::string> arguments = check;
  arguments.emplace_back("--check");
  const Outcome checked = command_line(arguments);
  CHECK(checked.code == cli::kGood);
  CHECK(has(checked.out, "all_reduce 8 GPUs"));
  // Held against what was measured over EFA, an InfiniBand cluster is off.
  CHECK(command_line({"calibrate", "collectives", table, "--base", "dgx-h100", "--where",
                      "platform=p5", "--check"})
            .code == cli::kConditionFailed);
  const ScratchFolder folder;
  const std::string output = folder.write("out.toml", "");
  arguments = check;
  arguments.insert(arguments.end(), {"--output", output});
  CHECK(command_line(arguments).code == cli::kGood);
  CHECK(has(config::read_file(output), "latency_multiplier"));
  CHECK(command_line({"calibrate", "collectives", table, "--base", "h200-node", "--where", "gpu"})
            .code == cli::kBadInput);
}

TEST_CASE("check shows the resolved model, platform, stack and layout", "[cli]") {
  const Outcome outcome = SmallRun()("check");
  CHECK(outcome.code == cli::kGood);
  CHECK(outcome.talk.empty());
  CHECK(has(outcome.out, "model gpt2: 124,439,808 parameters"));
  CHECK(has(outcome.out, "stack generic"));
  CHECK(has(outcome.out,
            "layout: tensor 2 x pipeline 2 x data 2 = 8 GPUs; 4 micro-batches of 1 sequences"));
  CHECK(has(outcome.out, "stage 0: 6 layers, embedding"));
  CHECK(has(outcome.out, "stage 1: 6 layers, head"));
}

TEST_CASE("check shows a platform alone, at its default size or at another", "[cli]") {
  const Outcome text = command_line({"check", "--platform", "summit", "--nodes", "3"});
  CHECK(text.code == cli::kGood);
  CHECK(text.talk.empty());
  CHECK(has(text.out, "Summit, 6 x V100 16GB, 2 x EDR: 3 nodes, 18 GPUs"));
  CHECK(has(text.out, "inside: wired"));
  CHECK(has(text.out, "gpu 0-2 to cpu 0, 50 GB/s each way"));
  const Outcome mixed =
      command_line({"check", "--platform", "mixed-a100-h100", "--format", "json"});
  const Json json = Json::parse(mixed.out);
  CHECK(json.at("nodes") == 2);
  CHECK(json.at("gpus") == 16);
  CHECK(json.at("kinds").size() == 2);
  CHECK(json.at("kinds")[1].at("nodes") == 1);
  CHECK(json.at("platform").contains("fabric.rate"));
}

TEST_CASE("check refuses a platform that is not there, or of a size that it cannot have", "[cli]") {
  const auto refusal = [](const std::vector<std::string>& options) {
    std::vector<std::string> arguments = {"check"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Outcome outcome = command_line(arguments);
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    return outcome.talk;
  };
  CHECK(has(refusal({"--platform", "sumit"}),
            "no cluster is called 'sumit'; did you mean 'summit'?"));
  CHECK(has(refusal({"--platform", "mixed-a100-h100", "--nodes", "3"}),
            "mixes its kinds of nodes 2 at a time"));
  CHECK(has(refusal({"--platform", "summit", "--nodes", "4609"}), "at most 4608 nodes, got 4609"));
  (void)refusal({});
  (void)refusal({"--nodes", "3"});
  (void)refusal({"--platform", "summit", "--nodes", "0"});
  (void)refusal({"--platform", "summit", "run.toml"});
  (void)refusal({"--platform", "summit", "--set", "a=1"});
}

TEST_CASE("check does not say whether a run fits", "[cli]") {
  CHECK(SmallRun()("check", too_large()).code == cli::kGood);
}

TEST_CASE("list prints every file of the catalogues and every row of the tables", "[cli]") {
  const Outcome all = command_line({"list"});
  CHECK(all.code == cli::kGood);
  CHECK(all.talk.empty());
  for (const char* folder : {"/models", "/platforms/clusters", "/platforms/gpus",
                             "/platforms/reliability", "/strategies/stacks"}) {
    for (const std::string& name : config::names_in(kRoot + folder)) {
      CHECK(has(all.out, "\n  " + name + " "));
    }
  }
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    CHECK(has(all.out, std::string(schedule.sentence)));
  }
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    CHECK(has(all.out, std::string(algorithm.sentence)));
  }
  for (const OptimizerAlgorithm& optimizer : optimizers()) {
    CHECK(has(all.out, std::string(optimizer.sentence)));
  }
  for (const NodeTopologyRow& topology : node_topologies()) {
    CHECK(has(all.out, std::string(topology.sentence)));
  }
  for (const FabricTopologyRow& topology : fabric_topologies()) {
    CHECK(has(all.out, std::string(topology.sentence)));
  }
}

TEST_CASE("list says of a platform how it is wired, and of which kinds of nodes it is", "[cli]") {
  const std::string out = command_line({"list", "platforms"}).out;
  CHECK(has(out, "4 x A100 SXM4 40GB, 4 NICs per node, full_mesh; dragonfly"));
  CHECK(has(out, " + 1 of 8 x H100"));
  CHECK(has(out, "nvswitch; non_blocking, 1 slow port"));
}

TEST_CASE("list prints one kind when asked for it", "[cli]") {
  const Outcome outcome = command_line({"list", "schedules"});
  CHECK(outcome.code == cli::kGood);
  CHECK(split(outcome.out, '\n').size() == 1 + pipeline_schedules().size());
}

TEST_CASE("scale finds where a constant batch stops paying", "[cli]") {
  // Eight sequences on two nodes leave half the work per GPU, while the host's 20 ms per step stay.
  const SmallRun small;
  const std::vector<std::string> options = {"--nodes", "1,2,4", "--jobs", "2"};
  const Outcome text = small("scale", options);
  CHECK(text.code == cli::kGood);
  CHECK(has(text.out, "gpt2 on DGX A100 40GB, 4 x HDR, strong scaling"));
  CHECK(has(text.out, "<- knee (efficiency < 85 %)"));
  const Json json = Json::parse(small("scale", with(options, {"--format", "json"})).out);
  REQUIRE(json.at("points").size() == 3);
  CHECK(json.at("points")[0].at("efficiency") == 1.0);
  CHECK(json.at("points")[0].at("gpus") == 8);
  CHECK(json.at("points")[1].at("is_knee") == true);
  CHECK(json.at("points")[1].at("efficiency") < 0.85);
  CHECK(json.at("points")[2].at("is_knee") == false);
  CHECK(json.at("points")[0].at("step_time_s") ==
        Json::parse(small("simulate", {"--format", "json"}).out).at("step_time_s"));
}

TEST_CASE("scale sizes a run that says gpus by whole nodes, too", "[cli]") {
  const ScratchFolder folder;
  std::string text = kSmallRun;
  text.replace(text.find("nodes    = 1"), 12, "gpus = 4");
  const std::string file = folder.write("gpus.toml", text);
  const auto points = [](const std::string& of) {
    return Json::parse(
               command_line({"scale", of, "--nodes", "1,2", "--jobs", "1", "--format", "json"}).out)
        .at("points");
  };
  CHECK(points(file) == points(SmallRun().file()));
}

TEST_CASE("scale says of a size that cannot be why it cannot", "[cli]") {
  // Eight sequences do not divide over 3 x 2 replicas.
  const SmallRun small;
  const std::vector<std::string> options = {"--nodes", "1,3", "--jobs", "1"};
  const std::string reason =
      "global_batch 8 is not a multiple of micro_batch 1 x data parallel 6 = 6; 6 and 12 are";
  const Outcome text = small("scale", options);
  CHECK(text.code == cli::kGood);
  CHECK(has(text.out, reason));
  const Json json = Json::parse(small("scale", with(options, {"--format", "json"})).out);
  CHECK(json.at("points")[1].at("refused") == reason);
  CHECK(has(small("scale", with(options, {"--format", "csv"})).out, "3,24,,,,,,," + reason));
  SECTION("and ends with 3 when no size can be") {
    CHECK(small("scale", {"--nodes", "3", "--jobs", "1"}).code == cli::kConditionFailed);
  }
}

TEST_CASE("a batch that grows with the nodes keeps more of its efficiency", "[cli]") {
  const SmallRun small;
  const std::vector<std::string> options = {"--nodes", "1..4", "--jobs", "1", "--format", "json"};
  const Json strong = Json::parse(small("scale", options).out).at("points");
  const Json weak = Json::parse(small("scale", with(options, {"--weak"})).out).at("points");
  REQUIRE(weak.size() == 3);
  CHECK(weak[0] == strong[0]);
  for (const std::size_t i : {1U, 2U}) {
    CHECK(weak[i].at("efficiency") > strong[i].at("efficiency"));
  }
  SECTION("sizes to which it does not grow by whole sequences are refused") {
    // One replica on three nodes, so the batch need not be a multiple of three.
    const Outcome odd = small("scale", {"--nodes", "4", "--jobs", "1", "--weak", "--set", "nodes=3",
                                        "--set", "parallel.tensor=12"});
    CHECK(odd.code == cli::kConditionFailed);
    CHECK(has(odd.out, "global_batch 8 cannot be scaled from 3 to 4 nodes"));
  }
}

TEST_CASE("scale says what to buy next at the knee, or where it is asked", "[cli]") {
  const SmallRun small;
  const auto next = [&](const std::vector<std::string>& options) {
    return Json::parse(small("scale", with(options, {"--jobs", "2", "--format", "json"})).out)
        .at("elasticities");
  };
  const Json knee = next({"--nodes", "1,2,4"});  // two nodes are past it
  CHECK(knee.at("nodes") == 2);
  CHECK(knee.at("changes").size() == 9);
  CHECK(next({"--nodes", "1,2,4", "--at", "4"}).at("nodes") == 4);
  CHECK(next({"--nodes", "1"}).at("nodes") == 1);  // without a knee the largest size
  for (const Json& change : knee.at("changes")) {
    if (change.contains("step_time_s") && !change.contains("possible")) {
      // The same change, simulated by itself.
      const Outcome alone = small("simulate", {"--format", "json", "--set", "nodes=2", "--what-if",
                                               change.at("what_if").get<std::string>()});
      CHECK(Json::parse(alone.out).at("step_time_s") == change.at("step_time_s"));
      CHECK(change.at("change") <= 1e-9);  // better hardware is not slower here
    }
  }
  CHECK_FALSE(Json::parse(small("scale", {"--nodes", "1", "--jobs", "1", "--format", "json",
                                          "--no-elasticities"})
                              .out)
                  .contains("elasticities"));
}

TEST_CASE("scale writes what to buy next as CSV beside its own table", "[cli]") {
  const SmallRun small;
  const std::string path = small.folder().path() + "/next.csv";
  const std::vector<std::string> options = {"--nodes", "1,2", "--jobs", "2", "--elasticities-csv",
                                            path};
  const Outcome outcome = small("scale", with(options, {"--format", "csv"}));
  CHECK(outcome.code == cli::kGood);
  CHECK(outcome.out == small("scale", {"--nodes", "1,2", "--format", "csv"}).out);
  std::ifstream file(path);
  std::size_t rows = 0;
  for (std::string line; std::getline(file, line); ++rows) {
    CHECK(std::count(line.begin(), line.end(), ',') >= 8);  // a reason may hold more, in quotes
  }
  CHECK(rows == 2 + elasticity_rows().size());  // the heading, and the run as it is

  const Outcome none = small("scale", with(options, {"--no-elasticities"}));
  CHECK(none.code == cli::kBadInput);
  CHECK(has(none.talk, "there is none with --no-elasticities"));
}

TEST_CASE("a report says what was changed of the hardware", "[cli]") {
  const SmallRun small;
  const std::vector<std::string> change = {"--what-if", "hbm=+50%,nic=400Gb/s"};
  for (const char* command : {"simulate", "scale", "memory"}) {
    const Outcome outcome =
        small(command, std::string(command) == "scale" ? with(change, {"--nodes", "1"}) : change);
    CHECK(outcome.code == cli::kGood);
    CHECK(has(outcome.out, "what if hbm=+50%: memory_rate 1.55 TB/s -> 2.33 TB/s"));
    CHECK(has(outcome.out, "what if nic=400Gb/s: fabric.rate 25 GB/s -> 50 GB/s"));
  }
  SECTION("and a study refuses to have its own range changed") {
    const Outcome outcome = small("scale", {"--nodes", "1", "--what-if", "nodes=2"});
    CHECK(outcome.code == cli::kBadInput);
    CHECK(has(outcome.talk, "the number of nodes is what --nodes gives"));
  }
  SECTION("and mistakes end with 2") {
    CHECK(small("simulate", {"--what-if", "nvlnk=2x"}).code == cli::kBadInput);
  }
}

TEST_CASE("node counts that cannot be read end with 2", "[cli]") {
  const Outcome outcome = SmallRun()("scale", {"--nodes", "1..x"});
  CHECK(outcome.code == cli::kBadInput);
  CHECK(outcome.out.empty());
  CHECK(outcome.talk ==
        "error: --nodes:1:1: expected node counts such as \"1,2,4\" or \"2..64\" (doubling), got "
        "\"1..x\"\n");
}

}  // namespace foretrain::testing
