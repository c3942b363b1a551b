// Model states: how many parameters a rank holds, and how many bytes each takes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/optimizer.hpp"

#include "strategies/lower.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr std::int64_t kHidden = 64;

std::int64_t parameters_of_stages(const Run& run) {
  std::int64_t sum = 0;
  for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
    sum += stage_shape(run, stage).parameters;
  }
  return sum;
}

}  // namespace

TEST_CASE("the stages hold the model's parameters and the padding of its vocabulary",
          "[strategies]") {
  // 300 tokens are padded to 384 rows of 64.
  Run run = small_run(1, 1, 1);
  CHECK(parameters_of_stages(run) == parameters(run.model) + 84 * kHidden);
  // Untied, twice.
  run.model.tied_embeddings = false;
  CHECK(parameters_of_stages(run) == parameters(run.model) + 168 * kHidden);
}

TEST_CASE("tied embeddings are held twice as soon as first and last stage differ", "[strategies]") {
  for (const std::int64_t pipeline : {2, 4, 8}) {
    const Run run = small_run(1, pipeline, 1);
    CHECK(parameters_of_stages(run) == parameters(run.model) + (84 + 384) * kHidden);
  }
}

TEST_CASE("tensor parallelism splits matrices and repeats norms and output biases",
          "[strategies]") {
  // Repeated per rank: two norms of 2 h and two output biases of h per layer, the final norm of 2 h
  // and the position table. At tensor 2 the vocabulary is padded to 512.
  Run run = small_run(2, 1, 1);
  const std::int64_t repeated = (8 * (2 * 2 + 2) + 2 + run.model.max_positions) * kHidden;
  CHECK(2 * parameters_of_stages(run) == parameters(run.model) + (512 - 300) * kHidden + repeated);
}

TEST_CASE("virtual stages hold the same parameters in more pieces", "[strategies]") {
  Run run = small_run(1, 2, 1);
  const std::int64_t whole = parameters_of_stages(run);
  run.parallel.virtual_stages = 4;
  CHECK(parameters_of_stages(run) == whole);
}

TEST_CASE("a parameter takes 2 + gradient + 12 bytes under Adam in 16 bit, 12 / d with ZeRO-1",
          "[strategies]") {
  // Rajbhandari et al. 2020, section 3.1: fp16 parameter and gradient, and K = 12 bytes of fp32
  // master copy, momentum and variance, of which ZeRO-1 keeps 1/d (figure 1).
  for (const auto& [accumulation, gradient] :
       {std::pair{Accumulation::separate_16_bit, 2.0}, {Accumulation::in_gemm, 4.0}}) {
    for (const std::int64_t zero : {0, 1}) {
      Run run = small_run(2, 2, 3);
      run.stack.accumulation = accumulation;
      run.parallel.zero = zero;
      const Program program = lower(run);
      const auto count = static_cast<double>(stage_shape(run, 0).parameters);
      CHECK(resident(program, Rank(0), MemoryClass::parameters) == Bytes(2 * count));
      CHECK(resident(program, Rank(0), MemoryClass::gradients) == Bytes(gradient * count));
      // 12 / 3 = 4.
      CHECK(resident(program, Rank(0), MemoryClass::optimizer) ==
            Bytes((zero == 1 ? 4 : 12) * count));
      CHECK(resident(program, Rank(0), MemoryClass::context) == 1_GiB);
    }
  }
}

TEST_CASE("in fp32 there is no master copy: 4 + 4 + 8 bytes", "[strategies]") {
  Run run = small_run(1, 1, 1);
  run.training.precision = Dtype::fp32;
  const Program program = lower(run);
  const auto count = static_cast<double>(stage_shape(run, 0).parameters);
  CHECK(resident(program, Rank(0), MemoryClass::parameters) == Bytes(4 * count));
  CHECK(resident(program, Rank(0), MemoryClass::gradients) == Bytes(4 * count));
  CHECK(resident(program, Rank(0), MemoryClass::optimizer) == Bytes(8 * count));
}

TEST_CASE("a ZeRO-1 rank updates its share: the optimizer's traffic is divided by d",
          "[strategies]") {
  const auto optimizer_bytes = [](const Run& run) {
    const Program program = lower(run);
    Bytes sum;
    for_every_op(program, Rank(0), [&](const Op& op) {
      const auto* kernels = std::get_if<Kernels>(&op.action);
      if (kernels != nullptr && program.text(op.name) == "optimizer") {
        for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
          sum += std::get<MemoryBound>(kernel.shape).bytes;
        }
      }
    });
    return sum;
  };
  Run run = small_run(1, 1, 2);
  const auto count = static_cast<double>(stage_shape(run, 0).parameters);
  CHECK(optimizer_bytes(run) == Bytes(30 * count));
  run.parallel.zero = 1;
  CHECK(optimizer_bytes(run) == Bytes(15 * count));
}

}  // namespace foretrain::testing
