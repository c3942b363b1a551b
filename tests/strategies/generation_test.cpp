// Memory of generating: weights by their format, keys and values by token.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/generation.hpp"

#include "sim/study/generation.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

Run generating(const std::string& model, const std::string& parallel, const std::string& keys) {
  return resolve_text("model = \"" + model +
                      "\"\nplatform = \"dgx-h100\"\nnodes = 2\n\n[training]\n"
                      "sequence_length = 2048\nglobal_batch = 16\n\n[parallel]\n" +
                      parallel + "\n\n[generation]\n" + keys + "\n");
}

}  // namespace

TEST_CASE("Llama 3 405B keeps 516 kB of keys and values per token in bf16", "[strategies]") {
  // 2 x 126 layers x 8 heads x 128 x 2 bytes.
  const Run run =
      generating("llama-3-405b", "tensor = 8\npipeline = 2\nzero = 1", "context_length = 8192");
  CHECK(cache_per_token(run) == Bytes(2.0 * 126 * 8 * 128 * 2));
  CHECK(cache_per_token(run).value / 1e3 == Catch::Approx(516).epsilon(1e-3));
  // Of 16 GPUs each has the keys and values of one head in half of the layers.
  CHECK(16 * cache_per_token(run, 0) == cache_per_token(run));
  const Run narrow = generating("llama-3-405b", "tensor = 8\npipeline = 2\nzero = 1",
                                "context_length = 8192\nkv_dtype = \"fp8\"");
  CHECK(2 * cache_per_token(narrow) == cache_per_token(run));
}

TEST_CASE("weights are those of all stages, layers quantised and the rest in 16 bit",
          "[strategies]") {
  Run run = small_run(2, 2, 1);
  run.generation.emplace();
  run.generation->context_length = 64;
  for (std::int64_t stage = 0; stage < 2; ++stage) {
    CHECK(generation_weights(run, stage).value ==
          2 * static_cast<double>(stage_shape(run, stage).parameters));
    const Bytes wide = generation_weights(run, stage);
    run.generation->weight_bytes = 1;
    // 12 h^2 / t weights in each of 4 layers lose a byte.
    CHECK((wide - generation_weights(run, stage)).value == 4 * 12 * 64 * 64 / 2);
    run.generation->weight_bytes = 2;
  }
}

TEST_CASE("as many sequences fit as there is room for, and one more does not", "[strategies]") {
  Run run = generating("llama-3-8b", "tensor = 2", "context_length = 8192\nbatch = 7");
  const GenerationMemory memory = generation_memory(run);
  REQUIRE(memory.roles.size() == 1);
  CHECK(memory.roles[0].cache == 7 * 8192 * cache_per_token(run, 0));
  const std::int64_t most = memory.most_sequences();
  CHECK(most > 7);
  run.generation->batch = most;
  CHECK(generation_memory(run).fits());
  run.generation->batch = most + 1;
  CHECK_FALSE(generation_memory(run).fits());
}

TEST_CASE("a sliding window holds no more tokens than it is wide", "[strategies]") {
  const Run run = generating("mistral-7b", "tensor = 1", "context_length = 32768");
  CHECK(held_tokens(run) == 4096);
  CHECK(cache_of_sequence(run, 0) == 4096 * cache_per_token(run, 0));
  const Run shorter = generating("mistral-7b", "tensor = 1", "context_length = 1000");
  CHECK(held_tokens(shorter) == 1000);
}

TEST_CASE("a context longer than the learned positions is refused", "[strategies]") {
  const std::string text = mistakes_in(
      "model = \"gpt2\"\nplatform = \"dgx-h100\"\nnodes = 1\n[training]\nsequence_length = 128\n"
      "global_batch = 8\n[generation]\ncontext_length = 4096\n");
  CHECK(
      text ==
      R"(run.toml:8:18: generation.context_length: context_length 4096 is more than the 1024 learned positions of the model
  context_length = 4096
                   ^)");
}

}  // namespace foretrain::testing
