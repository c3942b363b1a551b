// Mixtures of experts: what ranks compute, hold and send adds up over every way to lay them out.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <variant>

#include "models/blocks/blocks.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr double kTokens = 2 * 512;
constexpr double kHidden = 1024;

/// 8 experts of 512, two for each token, and a shared one of 2048.
Model shared_mixture() {
  Model model = mixtral(1, 1024, 32);
  model.moe->ffn = 512;
  model.moe->shared_ffn = 2048;
  return model;
}

Shard laid_out(std::int64_t tensor, std::int64_t degree, std::int64_t expert_tensor) {
  Shard part = shard(2, 512, tensor);
  part.sequence_parallel = tensor > 1;
  part.experts.degree = degree;
  part.experts.tensor = expert_tensor;
  return part;
}

const Gemm& gemm_called(const std::vector<Step>& steps, std::string_view name) {
  const auto found =
      std::find_if(steps.begin(), steps.end(), [&](const Step& step) { return step.name == name; });
  REQUIRE(found != steps.end());
  return std::get<Gemm>(found->what);
}

double elements_at(const std::vector<Step>& steps, Boundary boundary) {
  double sum = 0;
  for (const Step& step : steps) {
    const auto* at = std::get_if<Boundary>(&step.what);
    sum += at != nullptr && *at == boundary ? step.elements : 0;
  }
  return sum;
}

/// Calls `use(tensor, degree, expert_tensor)` for every layout of a stage of 8 ranks.
template <class Use>
void for_every_grid(Use use) {
  for (const std::int64_t tensor : {1, 2, 4}) {
    for (const std::int64_t degree : {1, 2, 4, 8}) {
      for (const std::int64_t expert_tensor : {1, 2, 4}) {
        if (degree * expert_tensor <= 8) {
          use(tensor, degree, expert_tensor);
        }
      }
    }
  }
}

TEST_CASE("ranks that share experts do all of the model's FLOPs and no more", "[models]") {
  // Of 8 / t replicas each has kTokens; a rank that routes its own tokens routes none twice.
  for (const Model& model : {mixtral(1, 1024, 32), shared_mixture()}) {
    const double whole = gemm_flops(layer_work(model, laid_out(1, 1, 1)).forward);
    for_every_grid([&](std::int64_t tensor, std::int64_t degree, std::int64_t expert_tensor) {
      INFO(tensor << " " << degree << " " << expert_tensor);
      const Shard part = laid_out(tensor, degree, expert_tensor);
      const Work layer = layer_work(model, part);
      const double router = part.dispatches() ? 0 : 2.0 * kTokens * kHidden * 8;
      const auto t = static_cast<double>(tensor);
      CHECK(t * (gemm_flops(layer.forward) - router) + router == whole);
      CHECK(gemm_flops(layer.backward) == 2 * gemm_flops(layer.forward));
    });
  }
}

TEST_CASE("ranks that share experts hold each parameter as often as there are replicas",
          "[models]") {
  // Norms and router are on every rank; attention and shared experts on 8 / t, experts on 8 / (e
  // t').
  for (const Model& model : {mixtral(1, 1024, 32), shared_mixture()}) {
    const Work whole = layer_work(model, laid_out(1, 1, 1));
    const std::int64_t experts = 8 * 3 * 1024 * expert_ffn(model);
    const std::int64_t everywhere = 2 * 1024 + 8 * 1024;
    CHECK(whole.expert_parameters == 0);
    for_every_grid([&](std::int64_t tensor, std::int64_t degree, std::int64_t expert_tensor) {
      INFO(tensor << " " << degree << " " << expert_tensor);
      const Work layer = layer_work(model, laid_out(tensor, degree, expert_tensor));
      const std::int64_t rest = (whole.parameters - experts - everywhere) / tensor;
      CHECK(layer.parameters == rest + everywhere + experts / (degree * expert_tensor));
      const bool has_grid = degree > 1 || expert_tensor != tensor;
      CHECK(layer.expert_parameters == (has_grid ? experts / (degree * expert_tensor) : 0));
    });
  }
}

TEST_CASE("a rank sends k copies of each of its tokens to experts, forward and backward",
          "[models]") {
  const Model model = shared_mixture();
  for (const std::int64_t tensor : {1, 2, 4}) {
    const Work layer = layer_work(model, laid_out(tensor, 8, 1));
    const double copies = kTokens / static_cast<double>(tensor) * 2 * kHidden;
    for (const auto* steps : {&layer.forward, &layer.backward}) {
      CHECK(elements_at(*steps, Boundary::dispatch_experts) == copies);
      CHECK(elements_at(*steps, Boundary::combine_experts) == copies);
    }
  }
  const Work together = layer_work(model, laid_out(4, 1, 4));
  CHECK(elements_at(together.forward, Boundary::dispatch_experts) == 0);
}

TEST_CASE("a capacity drops rows above it, or pads up to it", "[models]") {
  // 1024 tokens x 2 / 8 = 256 rows in the mean. Tokens that do not travel have no busiest rank.
  Model model = mixtral(1, 1024, 32);
  const auto rows = [&model](double load, double capacity, bool is_padded, std::int64_t degree) {
    Shard part = laid_out(1, degree, 1);
    part.experts.load = load;
    part.experts.capacity = capacity;
    part.experts.is_padded = is_padded;
    const Work layer = layer_work(model, part);
    const Gemm& up = gemm_called(layer.forward, "experts_up");
    if (degree > 1) {
      CHECK(elements_at(layer.forward, Boundary::dispatch_experts) ==
            static_cast<double>(up.m * up.batch) * kHidden);
    }
    return up.m / degree;  // as many from each rank
  };
  for (const std::int64_t degree : {1, 4}) {
    CHECK(rows(1, 0, false, degree) == 256);
    CHECK(rows(1, 1.25, false, degree) == 256);
    CHECK(rows(1, 1.25, true, degree) == 320);
    CHECK(rows(1, 0.5, false, degree) == 128);
  }
  CHECK(rows(1.5, 0, false, 4) == 384);
  CHECK(rows(1.5, 1.25, false, 4) == 320);
  CHECK(rows(1.5, 2, true, 4) == 512);
  CHECK(rows(1.5, 0, false, 1) == 256);
}

TEST_CASE("experts may be narrower than the model's MLP, and shared ones as wide as they like",
          "[models]") {
  // Gated: three matrices. E h f' x 3 + 3 h f_s + h E (+ h for the gate).
  Model model = shared_mixture();
  Model dense = model;
  dense.moe.reset();
  const std::int64_t mlp = 3 * 1024 * model.ffn;
  CHECK(parameters(model) - parameters(dense) ==
        8 * 3 * 1024 * 512 + 3 * 1024 * 2048 + 8 * 1024 - mlp);
  // Each token visits two of 512 and the one of 2048.
  const double per_token = (forward_flops(model, 64) - forward_flops(dense, 64)).value / 64;
  CHECK(per_token ==
        2.0 * 3 * 1024 * (2 * 512 + 2048) + 2.0 * 1024 * 8 - 2.0 * static_cast<double>(mlp));
  const std::int64_t without = parameters(model);
  model.moe->shared_gate = true;
  CHECK(parameters(model) == without + 1024);
  CHECK(layer_work(model, laid_out(1, 4, 1)).parameters ==
        layer_work(shared_mixture(), laid_out(1, 4, 1)).parameters + 1024);
}

TEST_CASE("a router in fp32 multiplies in fp32, alone", "[models]") {
  Shard part = laid_out(1, 4, 1);
  part.kernels.fp32_router = true;
  for (const Step& step : mlp_work(shared_mixture(), part).forward) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      CHECK((gemm->dtype == Dtype::fp32) == (step.name == "router"));
    }
  }
}

TEST_CASE("shared experts alone keep a pair of boundaries where tokens travel", "[models]") {
  const auto count = [](const Model& model, Boundary boundary) {
    const Work work = mlp_work(model, laid_out(2, 4, 2));
    return std::count_if(work.forward.begin(), work.forward.end(), [&](const Step& step) {
      const auto* at = std::get_if<Boundary>(&step.what);
      return at != nullptr && *at == boundary;
    });
  };
  CHECK(count(shared_mixture(), Boundary::enter_tensor_parallel) == 1);
  CHECK(count(shared_mixture(), Boundary::leave_tensor_parallel) == 1);
  CHECK(count(mixtral(1, 1024, 32), Boundary::enter_tensor_parallel) == 0);
}

}  // namespace
}  // namespace foretrain::testing
