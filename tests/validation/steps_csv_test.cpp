// SPDX-License-Identifier: Apache-2.0
// Rows of a table become run files as the rules of their source say.
#include "validation/steps_csv.hpp"

#include <map>
#include <memory>

#include "sim/core/error.hpp"
#include "strategies/plan.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::validation {
namespace {

/// A row by column, completed with what every row has.
class OneRow {
 public:
  OneRow& with(const std::string& column, const std::string& cell) {
    cells_.emplace_back(column, cell);
    return *this;
  }
  [[nodiscard]] Case read() const {
    config::Sources sources;
    const std::string rules = std::string(FORETRAIN_SOURCE_DIR) + "/validation/sources.toml";
    return cases_of(table(), load_source_rules(sources, rules), "t.csv", "AB").at(0);
  }
  [[nodiscard]] std::string text() const { return config::to_toml(read().run); }
  [[nodiscard]] RunFile run() const {
    const Case one = read();
    INFO(one.refusal);
    CHECK(one.is_expressible());
    static config::Sources sources;  // positions point into it
    const config::Value tree = config::parse_toml(sources, "t", config::to_toml(one.run));
    config::Diagnostics diagnostics;
    config::Reader reader(tree, "", diagnostics);
    RunFile file = read_run(reader);
    diagnostics.throw_if_any();
    return file;
  }

 private:
  // The last cell of a column counts.
  [[nodiscard]] CsvTable table() const {
    std::map<std::string, std::string> cells;
    for (const auto& [column, cell] : cells_) {
      cells[column] = cell;
    }
    std::string header;
    std::string row;
    for (const auto& [column, cell] : cells) {
      header += (header.empty() ? "" : ",") + column;
      row += (row.empty() ? "\"" : ",\"") + cell + "\"";
    }
    return CsvTable::parse(*sources_, "t.csv", header + "\n" + row + "\n");
  }

  std::shared_ptr<config::Sources> sources_ = std::make_shared<config::Sources>();
  std::vector<std::pair<std::string, std::string>> cells_ = {{"id", "r1"},
                                                             {"source", "a paper"},
                                                             {"quality", "A"},
                                                             {"status", "ok"},
                                                             {"model", "GPT 22B"},
                                                             {"num_gpus", "8"},
                                                             {"gpus_per_node", "8"},
                                                             {"gpu", "A100-SXM4-80GB"},
                                                             {"layers", "48"},
                                                             {"hidden", "6144"},
                                                             {"heads", "64"},
                                                             {"vocab", "51200"},
                                                             {"seq_length", "2048"},
                                                             {"global_batch_size", "4"},
                                                             {"micro_batch_size", "4"},
                                                             {"tp", "8"},
                                                             {"pp", "1"},
                                                             {"dp", "1"},
                                                             {"precision", "fp16"},
                                                             {"measured_step_time_s", "1.42"}};
};

TEST_CASE("the columns of a row become the keys of a run file", "[steps_csv]") {
  const RunFile run = OneRow().run();
  REQUIRE(run.inline_model);
  CHECK(run.inline_model->layers == 48);
  CHECK(run.inline_model->hidden == 6144);
  CHECK(run.gpus == 8);
  CHECK(run.platform == "dgx-a100-80gb");
  CHECK(run.training.global_batch == 4);
  CHECK(run.training.precision == Dtype::fp16);
  CHECK(run.parallel.tensor == 8);
  REQUIRE(run.measured);
  CHECK(run.measured->step_time == Seconds(1.42));
  CHECK(run.measured->fits == true);
}

TEST_CASE("selective means what the source means by it", "[steps_csv]") {
  const std::string core = "selective (core attention: QK^T, softmax, dropout, AV)";
  CHECK(OneRow()
            .with("source", "arXiv:2205.05198")
            .with("recompute", core)
            .run()
            .training.recompute == Recompute::selective);
  CHECK(OneRow()
            .with("source", "pytorch/torchtitan")
            .with("recompute", core)
            .run()
            .training.recompute == Recompute::selective);  // "dropout" is no "op"
  for (const std::string words :
       {"selective (per op SAC)", "selective (op-level SAC)", "selective op"}) {
    CHECK(OneRow()
              .with("source", "pytorch/torchtitan")
              .with("recompute", words)
              .run()
              .training.recompute == Recompute::operators);
  }
  const RunFile second = OneRow()
                             .with("source", "pytorch/torchtitan")
                             .with("recompute", "selective layer (every 2nd)")
                             .run();
  CHECK(second.training.recompute == Recompute::full);
  CHECK(second.training.recompute_every == 2);
}

TEST_CASE("families of models bring their blocks", "[steps_csv]") {
  const RunFile llama = OneRow().with("model", "LLAMA-13B").with("ffn", "13824").run();
  CHECK(llama.inline_model->mlp == MlpKind::gated);
  CHECK(llama.inline_model->norm == NormKind::rms_norm);
  CHECK(llama.inline_model->position == PositionKind::rotary);
  CHECK_FALSE(llama.inline_model->tied_embeddings);
  const RunFile gpt = OneRow().run();
  CHECK(gpt.inline_model->mlp == MlpKind::plain);
  CHECK(gpt.inline_model->position == PositionKind::learned);
  CHECK(gpt.inline_model->max_positions == 2048);
  CHECK(gpt.inline_model->tied_embeddings);
  CHECK(OneRow().with("model", "BLOOM-proto-181B").run().inline_model->position ==
        PositionKind::alibi);
  CHECK_FALSE(OneRow().with("model", "MPT-7b").run().inline_model->mlp_bias);
}

TEST_CASE("words of sharding become a ZeRO stage and a group", "[steps_csv]") {
  CHECK(OneRow().with("zero_stage", "FSDP FULL_SHARD (~ZeRO-3)").run().parallel.zero == 3);
  CHECK(OneRow().with("zero_stage", "FSDP SHARD_GRAD_OP (~ZeRO-2)").run().parallel.zero == 2);
  CHECK(OneRow().with("zero_stage", "dist-optimizer (ZeRO-1)").run().parallel.zero == 1);
  CHECK(OneRow().with("zero_stage", "0 (Megatron DDP)").run().parallel.zero == 0);
  const RunFile internevo = OneRow()
                                .with("source", "InternLM/InternEvo")
                                .with("model", "InternLM-7B")
                                .with("ffn", "11008")
                                .with("zero_stage", "ZeRO-1, optimizer sharded over 8 GPUs")
                                .run();
  CHECK(internevo.parallel.shard == 8);
}

TEST_CASE("a layout key that says nothing is left out", "[steps_csv]") {
  const std::string text = OneRow()
                               .with("tp", "1")
                               .with("dp", "8")
                               .with("global_batch_size", "32")
                               .with("cp", "1")
                               .with("vp", "1")
                               .with("sequence_parallel", "on")
                               .text();
  for (const std::string key : {"context", "virtual_stages", "sequence_parallel"}) {
    CHECK(text.find(key) == std::string::npos);
  }
}

TEST_CASE("rates become what the run file calls them", "[steps_csv]") {
  const OneRow base = OneRow().with("measured_step_time_s", "");
  CHECK(OneRow(base)
            .with("measured_tokens_per_s_per_gpu", "1234")
            .run()
            .measured->tokens_per_second_per_gpu == 1234.0);
  const RunFile sc21 = OneRow(base)
                           .with("source", "examples/sc21/run_table_1.sh")
                           .with("measured_tflops_per_gpu", "138")
                           .run();
  CHECK(sc21.measured->flops_per_gpu == FlopsPerSecond(138e12));
  CHECK(sc21.measured->flops_count == FlopsCount::hardware);
  // Nobody says what an unknown source counts.
  CHECK_FALSE(OneRow(base).with("measured_tflops_per_gpu", "138").read().is_expressible());
}

TEST_CASE("what cannot be expressed says why", "[steps_csv]") {
  CHECK(OneRow().with("ep", "8").read().refusal ==
        "a table does not say what the experts of a model are; a run file can");
  CHECK(OneRow().with("offload", "optimizer (CPU AdamW)").read().refusal ==
        "a table does not say what of the host took part in an offloaded run; a run file can");
  CHECK(OneRow().with("offload", "none").read().is_expressible());
  CHECK(OneRow().with("heads", "").with("tp", "").read().refusal == "not stated: heads, tp");
}

TEST_CASE("schedules go by their authors' names", "[steps_csv]") {
  const auto schedule = [](const char* name) {
    return OneRow().with("pp", "4").with("pipeline_schedule", name).run().parallel.schedule;
  };
  CHECK(schedule("ZB-1p") == "zb-h1");
  CHECK(schedule("ZB-2p") == "zb-2p");
  CHECK(schedule("GPipe") == "gpipe");
  CHECK(schedule("DualPipe") == "dualpipe");
}

TEST_CASE("a run that went out of memory is a case without a time", "[steps_csv]") {
  const RunFile run = OneRow().with("status", "OOM").with("measured_step_time_s", "").run();
  CHECK(run.measured->fits == false);
  CHECK_FALSE(run.measured->step_time);
}

TEST_CASE("one layer's time is read from the notes of the table that prints it", "[steps_csv]") {
  const RunFile run = OneRow()
                          .with("source", "arXiv:2205.05198 Table 4")
                          .with("layers", "1")
                          .with("global_batch_size", "")
                          .with("measured_step_time_s", "")
                          .with("notes", "measured_layer_combined_ms=19.6; and more")
                          .run();
  REQUIRE(run.measured->layer_time);
  CHECK(run.measured->layer_time->value == Catch::Approx(19.6e-3));
}

TEST_CASE("rows of other qualities are passed over, and a table without ids refused",
          "[steps_csv]") {
  const SourceRules none;
  config::Sources sources;
  const std::string row = ",source,quality,status,num_gpus,gpu\nx,s,C,ok,8,A100\n";
  const CsvTable table = CsvTable::parse(sources, "t.csv", "id" + row);
  CHECK(cases_of(table, none, "t.csv", "AB").empty());
  CHECK(cases_of(table, none, "t.csv", "ABC").size() == 1);
  const CsvTable nameless = CsvTable::parse(sources, "t.csv", "name" + row);
  CHECK_THROWS_AS(cases_of(nameless, none, "t.csv", "AB"), ConfigError);
}

}  // namespace
}  // namespace foretrain::validation
