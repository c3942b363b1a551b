// foretrain validate: cases and tables in, errors by source out, and the exit code of a tolerance.
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::testing {
namespace {

const std::string kCase = R"(model = "gpt-22b"
platform = "dgx-a100-80gb"
gpus = 8
stack = "megatron-lm-2022"
[training]
sequence_length = 2048
global_batch = 4
micro_batch = 4
precision = "fp16"
recompute = "full"
[parallel]
tensor = 8
[measured]
step_time = "1.42 s"
source = "Korthikanti et al. 2022, table 5"
group = "korthikanti-t5"
)";

const std::string kTable =
    "id,source,quality,status,num_gpus,gpu,model,layers,hidden,heads,vocab,seq_length,"
    "global_batch_size,micro_batch_size,tp,pp,recompute,precision,measured_step_time_s\n"
    "r1,arXiv:2205.05198 Table 5,B,ok,8,A100-SXM4-80GB,GPT 22B,48,6144,64,51200,2048,4,4,8,1,full,"
    "fp16,1.42\n"
    "r2,arXiv:2205.05198 Table 5,B,ok,8,A100-SXM4-80GB,GPT 22B,48,6144,,51200,2048,4,4,8,1,full,"
    "fp16,1.42\n"
    "r3,arXiv:2205.05198 Table 5,C,ok,8,A100-SXM4-80GB,GPT 22B,48,6144,64,51200,2048,4,4,8,1,full,"
    "fp16,1.42\n";

}  // namespace

TEST_CASE("validate judges a case and a row of a table alike", "[cli]") {
  const ScratchFolder folder;
  const std::string file = folder.write("one.toml", kCase);
  const std::string table = folder.write("steps.csv", kTable);
  const auto from_file =
      nlohmann::json::parse(command_line({"validate", file, "--format", "json"}).out);
  const auto from_table =
      nlohmann::json::parse(command_line({"validate", "--csv", table, "--format", "json"}).out);
  const auto time = from_file.at("cases").at(0).at("time");
  CHECK(time.at(0) == 1.42);
  CHECK(time == from_table.at("cases").at(0).at("time"));
  CHECK(from_table.at("cases").size() == 2);  // quality C is left out
  CHECK(from_table.at("not_predicted").at(0).at("reason") == "korthikanti-t5: not stated: heads");
}

TEST_CASE("validate shows the run file of a row", "[cli]") {
  const ScratchFolder folder;
  const std::string table = folder.write("steps.csv", kTable);
  const Outcome shown = command_line({"validate", "--csv", table, "--row", "r1", "--show"});
  CHECK(shown.code == cli::kGood);
  CHECK(has(shown.out, "stack = \"megatron-lm-2022\""));
  const Outcome again = command_line({"validate", folder.write("shown.toml", shown.out)});
  CHECK(has(again.out, "korthikanti-t5"));
}

TEST_CASE("validate fails when the errors exceed the tolerance", "[cli]") {
  const ScratchFolder folder;
  const std::string file = folder.write("one.toml", kCase);
  CHECK(command_line({"validate", file, "--tolerance", "50"}).code == cli::kGood);
  CHECK(command_line({"validate", file, "--tolerance", "0.001"}).code == cli::kConditionFailed);
  CHECK(command_line({"validate", file, "--set", "override.stack.host_per_step=\"9 s\"",
                      "--tolerance", "50"})
            .code == cli::kConditionFailed);
}

TEST_CASE("validate without a case is a mistake", "[cli]") {
  const ScratchFolder folder;
  CHECK(command_line({"validate"}).code == cli::kBadInput);
  CHECK(command_line({"validate", folder.path()}).code == cli::kBadInput);
  CHECK(command_line({"validate", folder.write("x.csv", "a,b\n1,2\n"), "--csv", "nowhere.csv"})
            .code == cli::kBadInput);
}

}  // namespace foretrain::testing
