// Explanations: closed forms from papers beside what the program and the simulation have.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/explain/explain.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;
using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

Explanation explained(const Run& run) { return explain(run, simulate(run)); }

const Chapter* chapter_of(const Explanation& explanation, const std::string& start) {
  for (const Chapter& chapter : explanation.chapters) {
    if (chapter.title.rfind(start, 0) == 0) {
      return &chapter;
    }
  }
  return nullptr;
}

Term term_of(const Explanation& explanation, const std::string& chapter,
             const std::string& quantity) {
  const Chapter* const found = chapter_of(explanation, chapter);
  REQUIRE(found != nullptr);
  const auto term =
      std::find_if(found->terms.begin(), found->terms.end(),
                   [&](const Term& candidate) { return candidate.quantity == quantity; });
  REQUIRE(term != found->terms.end());
  return *term;
}

}  // namespace

TEST_CASE("explain puts the run's numbers into 6 P D and into the exact count", "[explain]") {
  const Run run = small_run(1, 1, 1);
  const Explanation explanation = explained(run);
  const auto size = static_cast<double>(parameters(run.model));
  const double tokens = 8 * 64;  // 4 micro-batches of 2 sequences of 64 tokens
  CHECK(term_of(explanation, "Work", "parameters P").value == size);
  CHECK(term_of(explanation, "Work", "tokens D").value == tokens);
  CHECK(term_of(explanation, "Work", "rule of thumb C").value == 6 * size * tokens);
  // Weights 12 h^2 per layer, scores 2 s h, each 2 FLOP; the head h V.
  const double per_token = 2 * (8 * (12.0 * 64 * 64 + 2.0 * 64 * 64) + 64 * 300.0);
  CHECK_THAT(term_of(explanation, "Work", "model FLOPs").value,
             WithinRel(3 * tokens * per_token, 1e-12));
}

TEST_CASE("the kernels of a program do the hardware FLOPs that explain derives", "[explain]") {
  for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    Run run = small_run(2, 2, 2);
    run.model.vocabulary = 256 * 2;  // nothing is padded
    run.training.recompute = recompute;
    const Explanation explanation = explained(run);
    const Term term = term_of(explanation, "Work", "hardware FLOPs");
    REQUIRE(term.counted.has_value());
    CHECK_THAT(*term.counted, WithinRel(term.value, 1e-12));
  }
}

TEST_CASE("closed forms of model states and volumes are what the program holds and sends",
          "[explain]") {
  for (const std::int64_t zero : {0, 1, 2, 3}) {
    Run run = small_run(1, 1, 4);
    run.parallel.zero = zero;
    const Explanation explanation = explained(run);
    for (const char* quantity : {"parameters", "gradients", "optimizer"}) {
      const Term term = term_of(explanation, "Memory", quantity);
      REQUIRE(term.counted.has_value());
      CHECK_THAT(*term.counted, WithinRel(term.value, 1e-3));  // whole bytes
    }
    const Term data = term_of(explanation, "Sent", "data");
    REQUIRE(data.counted.has_value());
    INFO("zero " << zero);
    // The embedding's backward needs no parameters: ZeRO-3 gathers them once less in each of four
    // micro-batches, three of four parts from other ranks. The head needs the tied table of 384
    // padded rows in both passes, and gathers it again.
    const auto embedding = static_cast<double>(stage_shape(run, 0).embedding.parameters);
    const double less = zero == 3 ? 4 * 0.75 * 2 * (embedding - 2 * 384 * 64.0) : 0;
    CHECK_THAT(*data.counted, WithinRel(data.value - less, 1e-6));
  }
}

TEST_CASE("pipeline and tensor volumes follow their closed forms", "[explain]") {
  const Explanation explanation = explained(small_run(2, 4, 1));
  const Term pipeline = term_of(explanation, "Sent", "pipeline");
  CHECK(pipeline.value == 4 * (2 * 64) * 64 * 2.0);  // micro-batches x tokens x hidden x 16 bit
  CHECK(pipeline.counted == pipeline.value);
  const Term tensor = term_of(explanation, "Sent", "tensor");
  // 2 layers, 4 micro-batches, 4 all-reduces of t = 2; the embedding adds its own.
  CHECK(tensor.value == 2 * 4 * (2 * 4) * 0.5 * (2 * 64) * 64 * 2);
  REQUIRE(tensor.counted.has_value());
  CHECK(*tensor.counted > tensor.value);
}

TEST_CASE("the bubble is explained where there is a pipeline, and only there", "[explain]") {
  CHECK_THAT(term_of(explained(small_run(1, 4, 1)), "Pipeline", "share of the ideal time").value,
             WithinRel(3.0 / 4, 1e-12));
  Run halves = small_run(1, 4, 1);
  halves.parallel.schedule = "v-half";
  halves.parallel.virtual_stages = 2;
  CHECK(term_of(explained(halves), "Pipeline", "wait for other stages").formula.empty());
  const Explanation alone = explained(small_run(1, 1, 1));
  const Chapter* const chapter = chapter_of(alone, "Pipeline");
  REQUIRE(chapter != nullptr);
  CHECK(chapter->terms.empty());
  CHECK(explain_text(alone).find("Pipeline bubble") == std::string::npos);
}

TEST_CASE("Korthikanti's activations stand beside the tensors of a layer like theirs",
          "[explain]") {
  Run run = small_run(2, 1, 1);
  run.stack.kernels.dropout = true;
  const Term whole = term_of(explained(run), "Layer", "kept for backward, closed form");
  CHECK(whole.counted == whole.value);
  run.parallel.sequence_parallel = true;
  const Term shared = term_of(explained(run), "Layer", "kept for backward, closed form");
  CHECK(shared.counted == shared.value);
  CHECK(shared.value < whole.value);
}

TEST_CASE("text, JSON and CSV tell the same values", "[explain]") {
  const Explanation explanation = explained(small_run(2, 2, 2));
  const Json json = Json::parse(explain_json(explanation));
  const std::string csv = explain_csv(explanation);
  std::size_t terms = 0;
  for (std::size_t i = 0; i < explanation.chapters.size(); ++i) {
    const Chapter& chapter = explanation.chapters[i];
    REQUIRE(json["chapters"][i]["terms"].size() == chapter.terms.size());
    for (std::size_t j = 0; j < chapter.terms.size(); ++j) {
      CHECK(json["chapters"][i]["terms"][j]["value"] == chapter.terms[j].value);
    }
    terms += chapter.terms.size();
  }
  CHECK(static_cast<std::size_t>(std::count(csv.begin(), csv.end(), '\n')) == terms + 1);
  CHECK(si(0, "B") == "0 B");
  CHECK(si(999.96, "") == "1 k");
  CHECK(si(1.5e15, "FLOP") == "1.5 PFLOP");
  CHECK(si(2.5e-4, "s") == "250 us");
  CHECK(plain(2048) == "2048");
  CHECK(plain(2.5e6) == "2.5 M");
}

}  // namespace foretrain::testing
