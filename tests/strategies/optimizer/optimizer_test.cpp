// Optimizers against their definitions: bytes of state, traffic of a step, and what Muon computes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

#include <string>

#include "strategies/lower.hpp"
#include "strategies/parallel/optimizer.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Approx;

constexpr ParameterTensor kMatrix{TensorKind::matrix, 96, 64, 1, 3};
constexpr double kMatrixElements = 3.0 * 96 * 64;

double state(std::string_view name, const ParameterTensor& tensor = kMatrix,
             const StateSizes& sizes = {}) {
  return optimizer(name).state(tensor, sizes) / tensor.elements();
}

double traffic(std::string_view name, const ParameterTensor& tensor = kMatrix,
               const StateSizes& sizes = {}) {
  return optimizer(name).traffic(tensor, sizes) / tensor.elements();
}

Flops flops_named(const Program& program, std::string_view prefix) {
  Flops sum;
  for_every_op(program, Rank(0), [&](const Op& op) {
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        sum += program.text(kernel.name).starts_with(prefix) ? flops(kernel) : Flops(0);
      }
    }
  });
  return sum;
}

}  // namespace

TEST_CASE("optimizers keep the published bytes of state per parameter", "[strategies]") {
  CHECK(state("adam") == 8);
  CHECK(state("adamw") == 8);
  CHECK(state("lamb") == 8);
  CHECK(state("sgd") == 0);
  CHECK(state("sgd-momentum") == 4);
  CHECK(state("lion") == 4);
  CHECK(state("muon") == 4);
  // Two bytes, and of each moment an fp32 maximum for 2048 parameters.
  CHECK(state("adam-8bit") == 2 * (1 + 4.0 / 2048));
  // 96 + 64 numbers of 4 bytes for 96 x 64 parameters.
  CHECK(state("adafactor") == Approx(4.0 * (96 + 64) / (96 * 64)));
  StateSizes narrow;
  narrow.state = 2;
  CHECK(state("adam", kMatrix, narrow) == 4);
  CHECK(state("lion", kMatrix, narrow) == 2);
}

TEST_CASE("embeddings, head and vectors are AdamW's under Muon and in 32 bit under 8-bit Adam",
          "[strategies]") {
  for (const TensorKind kind : {TensorKind::embedding, TensorKind::head, TensorKind::vector}) {
    const ParameterTensor tensor{kind, 100, 64, 1, 1};
    CHECK(state("muon", tensor) == 8);
    CHECK(traffic("muon", tensor) == traffic("adamw", tensor));
    CHECK(muon_kernels(tensor, 1).empty());
    CHECK(muon_exchange(tensor).gathered == 0);
    CHECK(state("adam-8bit", tensor) == (kind == TensorKind::embedding ? 8 : 2 * (1 + 4.0 / 2048)));
  }
  const ParameterTensor bias{TensorKind::vector, 100, 1, 1, 1};
  CHECK(state("adafactor", bias) == 4);
}

TEST_CASE("a step reads the gradient, reads and writes states and master copy, writes 16 bit",
          "[strategies]") {
  CHECK(traffic("adam") == 4 + 2 * 8 + 2 * 4 + 2);
  CHECK(traffic("sgd") == 4 + 2 * 4 + 2);
  CHECK(traffic("sgd-momentum") == 4 + 2 * 4 + 2 * 4 + 2);
  CHECK(traffic("lion") == traffic("sgd-momentum"));
  CHECK(traffic("adam-8bit") == 4 + 2 * state("adam-8bit") + 2 * 4 + 2);
  CHECK(traffic("adafactor") == Approx(4 + (4 + 4) + 4 + (4 + 2 * 4 + 2) + 2 * state("adafactor")));
  CHECK(traffic("lamb") == (4 + 16 + 4 + 4) + (4 + 4) + (4 + 8 + 2));
  CHECK(traffic("muon") == (4 + 8 + 2) + (2 + 8 + 2));
  // Parameters that are their own master: read and written, no second copy.
  StateSizes pure;
  pure.master = 0;
  pure.gradient = 2;
  pure.state = 2;
  CHECK(traffic("adam", kMatrix, pure) == 2 + 2 * 4 + 2 * 2);
}

TEST_CASE("every optimizer reads its state, gradient and parameter and writes what it keeps",
          "[strategies]") {
  for (const OptimizerAlgorithm& row : optimizers()) {
    for (const TensorKind kind : {TensorKind::matrix, TensorKind::embedding, TensorKind::head}) {
      const ParameterTensor tensor{kind, 96, 64, 1, 3};
      INFO(row.name);
      CHECK(row.state(tensor, {}) >= 0);
      CHECK(row.traffic(tensor, {}) >=
            (4 + 2 * 4 + 2) * kMatrixElements + 2 * row.state(tensor, {}));
      // Alike tensors take alike.
      ParameterTensor twice = tensor;
      twice.count *= 2;
      CHECK(row.state(twice, {}) == 2 * row.state(tensor, {}));
      CHECK(row.traffic(twice, {}) == 2 * row.traffic(tensor, {}));
    }
  }
}

TEST_CASE("five Newton-Schulz iterations of an r x c matrix are 5 (4 r^2 c + 2 r^3) FLOPs",
          "[strategies]") {
  // Three products of 2 r^2 c, 2 r^3 and 2 r^2 c FLOPs; a tall matrix is transposed.
  for (const auto& [rows, columns] : {std::pair{96, 64}, {64, 96}}) {
    for (const std::int64_t batch : {1, 4}) {
      Flops sum;
      for (const Step& step : muon_kernels({TensorKind::matrix, rows, columns, 8, 1}, batch)) {
        if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
          sum += flops(Kernel{NameId(0), *gemm});
        }
      }
      CHECK(sum.value ==
            static_cast<double>(batch) * 5 * (4.0 * 64 * 64 * 96 + 2.0 * 64 * 64 * 64));
    }
  }
}

TEST_CASE("the tensors of a rank are all its parameters, for every kind of model", "[strategies]") {
  for (const Model& model : {gpt(8, 64, 8), neox(8, 64, 8), llama(8, 64, 8), mixtral(8, 64, 8)}) {
    for (const std::int64_t pipeline : {1, 2}) {
      Run run = small_run(2, pipeline, 1);
      run.model = model;
      for (std::int64_t stage = 0; stage < pipeline; ++stage) {
        const StageShape shape = stage_shape(run, stage);
        double elements = 0;
        double in_vectors = 0;
        for (const ParameterTensor& tensor : trained_tensors(run, shape)) {
          elements += tensor.elements();
          in_vectors += tensor.kind == TensorKind::vector ? tensor.elements() : 0;
        }
        CHECK(elements == static_cast<double>(shape.parameters));
        CHECK(in_vectors < 0.1 * elements);
      }
    }
  }
}

TEST_CASE("a rank orthogonalises each of its matrices, or those of which its shard holds a part",
          "[strategies]") {
  // A layer of h = 64: QKV 3 h x h, projection h x h, up 4 h x h, down h x 4 h. Of 8 layers each.
  const double h3 = 64.0 * 64 * 64;
  const auto iterations = [&](double c) { return 5 * (4 * c + 2) * h3; };
  const double one_layer = iterations(3) + iterations(1) + 2 * iterations(4);
  Run run = small_run(1, 1, 2);
  run.training.optimizer = "muon";
  CHECK(flops_named(lower(run), "newton_schulz").value == 8 * one_layer);
  CHECK(collectives(lower(run), Rank(0), "data", CollectiveKind::all_gather).count == 0);
  run.parallel.zero = 1;
  const Program program = lower(run);
  CHECK(flops_named(program, "newton_schulz").value == 4 * one_layer);
  // Parameters in 16 bit, and the momentum of 8 x 12 h^2 numbers in bf16.
  const auto psi = static_cast<double>(stage_shape(run, 0).parameters);
  CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_gather).bytes.value ==
        2 * psi + 2 * 8 * 12 * 64 * 64);
  // No shard is smaller than one matrix of each shape.
  Run many = small_run(1, 1, 16);
  many.training.optimizer = "muon";
  many.parallel.zero = 1;
  CHECK(flops_named(lower(many), "newton_schulz").value == one_layer);
}

TEST_CASE("distributed Muon sends at most 1.25 times as much as AdamW", "[strategies]") {
  // Liu et al. 2025, section 2.3: 4 (gradients) + 4 (parameters) and 2 of the momentum in bf16.
  Run run = small_run(1, 1, 2);
  run.parallel.zero = 1;
  run.training.widths.gathered = Dtype::fp32;
  const auto sent = [](const Run& one) {
    const Program program = lower(one);
    return collectives(program, Rank(0), "data", CollectiveKind::all_gather).bytes +
           collectives(program, Rank(0), "data", CollectiveKind::reduce_scatter).bytes;
  };
  const Bytes adam = sent(run);
  run.training.optimizer = "muon";
  CHECK(sent(run) > adam);
  CHECK(sent(run) < 1.25 * adam);
}

TEST_CASE("norms and sums over tensors that are cut are summed over those who share them",
          "[strategies]") {
  const auto small_sums = [](const char* name, std::int64_t tensor, std::int64_t zero) {
    Run run = small_run(tensor, 1, 2);
    run.training.optimizer = name;
    run.parallel.zero = zero;
    const Program program = lower(run);
    return std::pair(
        collectives(program, Rank(0), "data", CollectiveKind::all_reduce, Phase::optimizer).count,
        collectives(program, Rank(0), "tensor", CollectiveKind::all_reduce, Phase::optimizer)
            .count);
  };
  for (const char* name : {"lamb", "adafactor"}) {
    CHECK(small_sums(name, 1, 1).first == 1);
    CHECK(small_sums(name, 2, 1).second == small_sums("adam", 2, 1).second + 1);
  }
  CHECK(small_sums("adam", 1, 1).first == 0);
}

TEST_CASE("another optimizer's pass takes the place of Adam's in the stack's traffic",
          "[strategies]") {
  // The stack says 62 bytes: 30 of Adam's pass and 32 around it. Lion's pass is 22.
  Run run = small_run(1, 1, 1);
  run.stack.optimizer_bytes.value = 62;
  const StageShape shape = stage_shape(run, 0);
  CHECK(update_traffic(run, shape).value == 62);
  run.training.optimizer = "adamw";
  CHECK(update_traffic(run, shape).value == 62);
  run.training.optimizer = "lion";
  CHECK(update_traffic(run, shape).value == 62 - 8);
  run.training.optimizer = "sgd";
  CHECK(update_traffic(run, shape).value == 62 - 16);
}

}  // namespace foretrain::testing
