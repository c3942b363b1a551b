// How a journal is told, and how a sweep is handed to other machines.
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "sim/study/sweep/emit.hpp"
#include "tests/sim/cli/command_line.hpp"
#include "tests/sim/study/sweep/fake_points.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using sweep::Grid;
using sweep::Journal;
using sweep::Row;
using sweep::Status;

// Four points: 2 s, 1 s, one that does not fit, and one that is refused.
Journal four() {
  const Grid grid = sweep::parse_grid({R"(a.b="x,1",7)", "c.b=1,true"}, {});
  Journal journal = Journal::open("", identity_of(grid));
  journal.record(fake_row(grid, 0, 2));
  journal.record(fake_row(grid, 1, 1));
  Row large = fake_row(grid, 2, 0.5);
  large.result.replace(large.result.find("true"), 4, "false");
  large.result.replace(large.result.find("exposed_data"), 12, "exposed_tensor");
  journal.record(large);
  Row refused = fake_row(grid, 3, 1);
  refused.status = Status::refused;
  refused.result = "";
  refused.reason = "not \"so\", no";
  journal.record(refused);
  return journal;
}

}  // namespace

TEST_CASE("the CSV of a sweep has the varied keys, the results and the reasons", "[study]") {
  const auto lines = split(sweep_csv(four(), {}), '\n');
  REQUIRE(lines.size() == 5);
  CHECK(lines[0] ==
        "a.b,c.b,status,gpus,step_time_s,tokens_per_s,tokens_per_s_per_gpu,mfu,hfu,"
        "model_tflops_per_gpu,peak_memory_bytes,memory_capacity_bytes,fits,training_time_s,"
        "compute_s,recompute_s,exposed_data_s,exposed_tensor_s,bubble_s,optimizer_s,host_s,reason");
  // What a point has none of takes no time.
  CHECK(lines[1] == "\"x,1\",1,predicted,8,2,500,62.5,0.5,0.5,,,,1,,2,0,0,0,0,0,0,");
  CHECK(lines[3] == "7,1,predicted,8,0.5,2000,250,0.5,0.5,,,,0,,0.5,0,0,0,0,0,0,");
  CHECK(lines[4] == "7,true,refused,,,,,,,,,,,,,,,,,,,\"not \"\"so\"\", no\"");
}

TEST_CASE("the best points of a sweep are those that fit, by what is asked for", "[study]") {
  const auto first_step = [](const sweep::Selection& selection) {
    return split(split(sweep_csv(four(), selection), '\n').at(1), ',').at(5);
  };
  // The quoted comma of x,1 makes step_time_s the sixth cell.
  CHECK(first_step({1, sweep::Measure::step_time}) == "1");
  CHECK(first_step({1, sweep::Measure::tokens_per_s}) == "1");
  CHECK(first_step({1, sweep::Measure::tokens_per_s_per_gpu}) == "1");
  CHECK(first_step({1, sweep::Measure::mfu}) == "2");  // equal: the sweep's order
  CHECK(split(sweep_csv(four(), {1, sweep::Measure::mfu}), '\n').size() == 2);
  CHECK(split(sweep_csv(four(), {9, sweep::Measure::mfu}), '\n').size() == 3);
}

TEST_CASE("the JSON of a sweep is typed, and counts what became of the points", "[study]") {
  const auto json = nlohmann::json::parse(sweep_json(four(), {}));
  CHECK(json.at("total") == 4);
  CHECK(json.at("predicted") == 3);
  CHECK(json.at("refused") == 1);
  const auto& points = json.at("points");
  REQUIRE(points.size() == 4);
  CHECK(points[0].at("set") == nlohmann::json{{"a.b", "x,1"}, {"c.b", 1}});
  CHECK(points[3].at("set") == nlohmann::json{{"a.b", 7}, {"c.b", true}});
  CHECK(points[1].at("step_time_s") == 1.0);
  CHECK(points[1].at("breakdown_s").at("compute") == 1.0);
  CHECK(points[2].at("fits") == false);
  CHECK(points[3].at("reason") == "not \"so\", no");
}

TEST_CASE("the text of a sweep names keys in full where their last words are the same", "[study]") {
  const std::string text = sweep_text(four(), {});
  const auto lines = split(text, '\n');
  REQUIRE(lines.size() == 6);
  CHECK(has(lines[0], "a.b"));
  CHECK(has(lines[3], "does not fit in memory"));
  CHECK(has(lines[4], "refused: not \"so\", no"));
  CHECK(lines[5] == "4 of 4 points: 3 predicted, 1 refused, 0 crashed");
}

TEST_CASE("scripts quote what a shell would take apart", "[study]") {
  sweep::Distribution distribution;
  distribution.arguments = {"sweep", "my run.toml", "--vary", "k='a b',$HOME"};
  distribution.journal = "out dir/it's.sqlite";
  distribution.num_shards = 2;
  distribution.num_points = 9;
  CHECK(sweep::shard_journal("d/x.sqlite", "3", 8) == "d/x-3-of-8.sqlite");
  const std::string line = sweep::parallel_line(distribution);
  CHECK(has(line, R"('my run.toml' --vary 'k='\''a b'\'',$HOME')"));
  CHECK(has(line, R"(--journal 'out dir/it'\''s-{}-of-2.sqlite' --shard {}/2)"));
  CHECK(has(line, R"(merge 'out dir/it'\''s.sqlite' 'out dir/it'\''s-1-of-2.sqlite')"));
  const std::string script = sweep::slurm_script(distribution);
  CHECK(has(script, "#SBATCH --array=1-2\n"));
  CHECK(has(script, R"(--journal 'out dir/it'\''s-'"$SLURM_ARRAY_TASK_ID"'-of-2.sqlite')"));
  CHECK(has(script, R"(--shard "$SLURM_ARRAY_TASK_ID/2" --jobs 1)"));
}

}  // namespace foretrain::testing
