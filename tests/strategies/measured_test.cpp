// SPDX-License-Identifier: Apache-2.0
// What a user reads after a mistake in the table [measured] of a run file.
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {

TEST_CASE("measured values have units, of the right kind, and are more than zero", "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\n[measured]\nstep_time = 43.92\nsource = \"x\"") ==
      R"(run.toml:14:13: measured.step_time: expected a time such as "5 us", got 43.92 (a number without a unit)
  step_time = 43.92
              ^)");
  CHECK(
      run_error("pipeline = 4",
                "pipeline = 4\n[measured]\nstep_time = \"43.92\"\nsource = \"x\"") ==
      R"(run.toml:14:13: measured.step_time: expected a time such as "5 us", got "43.92" (a number without a unit)
  step_time = "43.92"
              ^)");
  CHECK(
      run_error("pipeline = 4",
                "pipeline = 4\n[measured]\nstep_time = \"43.92 GB\"\nsource = \"x\"") ==
      R"(run.toml:14:13: measured.step_time: expected a time such as "5 us", got "43.92 GB" (a size, not a time)
  step_time = "43.92 GB"
              ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\n[measured]\nstep_time = \"0 s\"\nsource = \"x\"") ==
      R"(run.toml:14:13: measured.step_time: expected more than zero
  step_time = "0 s"
              ^)");
  CHECK(
      run_error("pipeline = 4",
                "pipeline = 4\n[measured]\nflops_per_gpu = \"117 TFLOP\"\nflops_count = "
                "\"model\"\nsource = \"x\"") ==
      R"(run.toml:14:17: measured.flops_per_gpu: expected a compute rate such as "989 TFLOP/s", got "117 TFLOP" (an amount of work, not a compute rate)
  flops_per_gpu = "117 TFLOP"
                  ^)");
}

TEST_CASE("a measurement has a value, a source, and what its FLOPs count", "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\n[measured]\nsource = \"x\"") ==
      R"(run.toml:13:1: measured: a measurement needs one of step_time, tokens_per_second_per_gpu, flops_per_gpu, layer_time, peak_memory or fits
  [measured]
  ^)");
  CHECK(run_error("pipeline = 4", "pipeline = 4\n[measured]\nstep_time = \"3 s\"") ==
        R"(run.toml:13:1: measured: missing key 'source' (text in quotes)
  [measured]
  ^)");
  CHECK(run_error("pipeline = 4",
                  "pipeline = 4\n[measured]\nflops_per_gpu = \"117 TFLOP/s\"\nsource = \"x\"") ==
        R"(run.toml:13:1: measured: missing key 'flops_count' (one of model, hardware, own)
  [measured]
  ^)");
  CHECK(
      run_error("pipeline = 4",
                "pipeline = 4\n[measured]\nflops_per_gpu = \"117 TFLOP/s\"\nflops_count = "
                "\"own\"\nsource = \"x\"") ==
      R"(run.toml:13:1: measured: missing key 'flops_per_token' (an amount of work such as "2 PFLOP")
  [measured]
  ^)");
}

TEST_CASE("what has no effect on a measurement is refused", "[strategies]") {
  CHECK(
      run_error(
          "pipeline = 4",
          "pipeline = 4\n[measured]\nstep_time = \"3 s\"\nflops_count = \"own\"\nsource = \"x\"") ==
      R"(run.toml:15:15: measured.flops_count: has no effect without flops_per_gpu; remove it
  flops_count = "own"
                ^)");
  CHECK(
      run_error("pipeline = 4",
                "pipeline = 4\n[measured]\nflops_per_gpu = \"117 TFLOP/s\"\nflops_count = "
                "\"model\"\nflops_per_token = \"9 GFLOP\"\nsource = \"x\"") ==
      R"(run.toml:16:19: measured.flops_per_token: has no effect without flops_count = "own"; remove it
  flops_per_token = "9 GFLOP"
                    ^)");
}

TEST_CASE("any one of the kinds of measurement is enough, and is read with its unit",
          "[strategies]") {
  const auto measured = [](const std::string& lines) {
    config::Sources sources;
    return *read_run_text(std::string(kRunFile) + "[measured]\n" + lines + "\nsource = \"x\"\n",
                          sources)
                .measured;
  };
  CHECK(measured("tokens_per_second_per_gpu = 3150.5").tokens_per_second_per_gpu == 3150.5);
  CHECK(measured("layer_time = \"12 ms\"").layer_time == 12_ms);
  const Measured memory = measured("peak_memory = \"61.2 GB\"\nmemory_kind = \"allocator\"");
  CHECK(memory.peak_memory == 61.2_GB);
  CHECK(memory.memory_kind == MemoryKind::allocator);
  CHECK(measured("fits = false").fits == false);
  const Measured words = measured("fits = true\ngroup = \"g\"\nsweep = \"s\"\nquality = \"B\"");
  CHECK(words.group == "g");
  CHECK(words.sweep == "s");
  CHECK(words.quality == "B");
}

TEST_CASE("a measured peak says what it counts, and rates are more than zero", "[strategies]") {
  CHECK(run_error("pipeline = 4",
                  "pipeline = 4\n[measured]\npeak_memory = \"60 GB\"\nsource = \"x\"") ==
        R"(run.toml:13:1: measured: missing key 'memory_kind' (one of allocator, device)
  [measured]
  ^)");
  CHECK(run_error("pipeline = 4",
                  "pipeline = 4\n[measured]\nfits = true\nmemory_kind = \"device\"\nsource = "
                  "\"x\"") ==
        R"(run.toml:15:15: measured.memory_kind: has no effect without peak_memory; remove it
  memory_kind = "device"
                ^)");
  CHECK(run_error("pipeline = 4",
                  "pipeline = 4\n[measured]\ntokens_per_second_per_gpu = 0.0\nsource = \"x\"") ==
        R"(run.toml:14:29: measured.tokens_per_second_per_gpu: expected more than zero
  tokens_per_second_per_gpu = 0.0
                              ^)");
}

}  // namespace foretrain::testing
