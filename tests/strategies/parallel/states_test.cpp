// Bytes of model states per parameter in every published scheme, from the keys of a run file.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/states.hpp"

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr double kReplicas = 2;

Run run_with(Dtype precision, Accumulation accumulation, std::int64_t zero = 0) {
  Run run = small_run(1, 1, 2);
  run.training.precision = precision;
  run.stack.accumulation = accumulation;
  run.parallel.zero = zero;
  return run;
}

// What a rank holds per parameter from step to step.
double per_parameter(const Run& run) {
  const Program program = lower(run);
  Bytes sum;
  for (const MemoryClass memory :
       {MemoryClass::parameters, MemoryClass::gradients, MemoryClass::optimizer}) {
    sum += resident(program, Rank(0), memory);
  }
  return sum.value / static_cast<double>(stage_shape(run, 0).parameters);
}

}  // namespace

TEST_CASE("mixed Adam takes 16 bytes per parameter, 18 with fp32 gradients", "[strategies]") {
  // Rajbhandari et al. 2020, section 3.1: 2 + 2 + 12.
  CHECK(per_parameter(run_with(Dtype::bf16, Accumulation::separate_16_bit)) == 16);
  CHECK(per_parameter(run_with(Dtype::bf16, Accumulation::in_gemm)) == 18);
  Run narrowed = run_with(Dtype::bf16, Accumulation::in_gemm);
  narrowed.training.widths.gradient = Dtype::bf16;
  CHECK(per_parameter(narrowed) == 16);
}

TEST_CASE("Megatron's table: 20, 18 and 16 bytes, distributed 4 + 16/d, 6 + 12/d and 8 + 8/d",
          "[strategies]") {
  // Megatron-LM, docs/source/api-guide/dist_optimizer.md. With fp16 parameters and gradients the
  // optimizer keeps an fp32 copy of the gradients as well.
  const auto fp16 = [](std::int64_t zero) {
    Run run = run_with(Dtype::fp16, Accumulation::separate_16_bit, zero);
    run.training.widths.main_gradient = Dtype::fp32;
    return per_parameter(run);
  };
  const auto bf16 = [](std::int64_t zero) {
    return per_parameter(run_with(Dtype::bf16, Accumulation::in_gemm, zero));
  };
  const auto fp32 = [](std::int64_t zero) {
    return per_parameter(run_with(Dtype::fp32, Accumulation::in_gemm, zero));
  };
  CHECK(fp16(0) == 20);
  CHECK(bf16(0) == 18);
  CHECK(fp32(0) == 16);
  CHECK(fp16(1) == 4 + 16 / kReplicas);
  CHECK(bf16(1) == 6 + 12 / kReplicas);
  CHECK(fp32(1) == 8 + 8 / kReplicas);
}

TEST_CASE("states and master copies take the width that the run asks for", "[strategies]") {
  Run run = run_with(Dtype::bf16, Accumulation::separate_16_bit);
  run.training.widths.state = Dtype::bf16;  // DeepSeek-V3, section 3.3.3: moments in bf16
  CHECK(per_parameter(run) == 2 + 2 + 4 + 4);
  run.training.widths.master = Bytes(0);  // all in 16 bit
  CHECK(per_parameter(run) == 2 + 2 + 4);
  run.training.widths.state = Dtype::fp8;
  CHECK(per_parameter(run) == 2 + 2 + 2);
  SECTION("FSDP's shards are fp32 unless there is no master copy") {
    Run sharded = run_with(Dtype::bf16, Accumulation::sharded, 3);
    CHECK(per_parameter(sharded) == 16 / kReplicas);
    sharded.training.widths.master = Bytes(0);
    CHECK(per_parameter(sharded) == (2 + 4 + 8) / kReplicas);
    sharded.training.widths.gradient = Dtype::bf16;
    CHECK(per_parameter(sharded) == (2 + 2 + 8) / kReplicas);
  }
}

TEST_CASE("gradients travel and parameters are gathered in the width that the run asks for",
          "[strategies]") {
  Run run = run_with(Dtype::fp8, Accumulation::in_gemm, 1);
  const auto psi = static_cast<double>(stage_shape(run, 0).parameters);
  const auto sent = [&](CollectiveKind kind) {
    return collectives(lower(run), Rank(0), "data", kind).bytes.value / psi;
  };
  CHECK(sent(CollectiveKind::reduce_scatter) == 4);
  CHECK(sent(CollectiveKind::all_gather) == 2);
  run.training.widths.gradient = Dtype::bf16;
  run.training.widths.gathered = Dtype::fp8;
  CHECK(sent(CollectiveKind::reduce_scatter) == 2);
  CHECK(sent(CollectiveKind::all_gather) == 1);
}

TEST_CASE("gradients summed in 16 bit are accumulated in 16 bit", "[strategies]") {
  // In the GEMM: read and written, 2 + 2 bytes instead of 4 + 4 per element.
  Run run = run_with(Dtype::bf16, Accumulation::in_gemm);
  CHECK(shard_of(run).kernels.weight_gradient_output_bytes == 8);
  run.training.widths.gradient = Dtype::bf16;
  CHECK(shard_of(run).kernels.weight_gradient_output_bytes == 4);
}

TEST_CASE("widths that cannot take effect are refused", "[strategies]") {
  const auto error = [](const std::string& keys) {
    return run_error("micro_batch = 4", "micro_batch = 4\n" + keys);
  };
  CHECK(error("state_dtype = \"bf16\"\nmaster_dtype = \"none\"\ngradient_dtype = \"bf16\"") == "");
  CHECK(
      error("parameter_gather_dtype = \"fp32\"") ==
      R"(run.toml:9:26: training.parameter_gather_dtype: parameter_gather_dtype has no effect with zero 0: no parameters are gathered
  parameter_gather_dtype = "fp32"
                           ^)");
  CHECK(
      error("main_gradient_dtype = \"fp32\"") ==
      R"(run.toml:9:23: training.main_gradient_dtype: main_gradient_dtype has no effect: gradients are summed in fp32 already; gradient_dtype narrows them
  main_gradient_dtype = "fp32"
                        ^)");
  CHECK(error("optimizer = \"sgd\"\nstate_dtype = \"bf16\"") ==
        R"(run.toml:10:15: training.state_dtype: state_dtype has no effect on optimizer sgd
  state_dtype = "bf16"
                ^)");
  CHECK(
      error("precision = \"fp32\"\nmaster_dtype = \"fp16\"") ==
      R"(run.toml:10:16: training.master_dtype: with precision fp32 the parameters are their own master copy; remove master_dtype
  master_dtype = "fp16"
                 ^)");
  CHECK(
      run_error("micro_batch = 4\n\n[parallel]",
                "micro_batch = 4\nparameter_gather_dtype = \"fp8\"\n[parallel]\nzero = 1") ==
      R"(run.toml:9:26: training.parameter_gather_dtype: parameter_gather_dtype fp8 needs precision fp8 or fp4, not bf16: GEMMs would read what was rounded to 8 bit
  parameter_gather_dtype = "fp8"
                           ^)");
  CHECK(error("gradient_dtype = \"fp8\"") ==
        R"(run.toml:9:18: training.gradient_dtype: expected one of fp32, bf16, fp16; got 'fp8'
  gradient_dtype = "fp8"
                   ^)");
}

}  // namespace foretrain::testing
