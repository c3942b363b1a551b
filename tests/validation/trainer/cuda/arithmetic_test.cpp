// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the GPU's kernels, called by the host.
#include "validation/trainer/cuda/arithmetic.hpp"

#include <set>
#include <vector>

#include "tests/support/catch.hpp"

namespace foretrain::trainer::cuda {
namespace {

using Catch::Matchers::WithinAbs;

TEST_CASE("GELU by a logistic function is GELU by tanh, and its slope is its derivative",
          "[trainer]") {
  const auto formula = [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  };
  for (const double x : {-50.0, -3.0, -0.7, 0.0, 0.1, 1.0, 4.0, 60.0}) {
    const auto number = static_cast<float>(x);
    const double step = 1e-5;
    CHECK_THAT(gelu_of(number), WithinAbs(formula(x), 1e-6 * (1 + std::abs(x))));
    CHECK_THAT(gelu_slope(number),
               WithinAbs((formula(x + step) - formula(x - step)) / (2 * step), 2e-6));
  }
}

TEST_CASE("the first step of AdamW goes against the sign of the gradient", "[trainer]") {
  AdamW how;
  how.learning_rate = 0.5F;
  how.weight_decay = 0.1F;
  how.epsilon = 0;
  how.gradient_scale = 0.25F;
  float first = 0;
  float second = 0;
  // Both corrected moments are those of one gradient: 2 / |2| = 1, and decay takes 0.5 * 0.1 * 3.
  CHECK_THAT(adamw_of(3, first, second, 8, adamw_step(how)), WithinAbs(3 - 0.5 - 0.15, 1e-6));
  CHECK_THAT(first, WithinAbs(0.1 * 2, 1e-6));
  CHECK_THAT(second, WithinAbs(0.05 * 4, 1e-6));
}

TEST_CASE("the largest number of a block has the largest code", "[trainer]") {
  for (const float largest : {1e-30F, 0.3F, 1.0F, 7.7F, 3e38F}) {
    const float inverse = 1 / scale_of(largest);
    CHECK(code_of(largest, inverse) == 127);
    CHECK(code_of(-largest, inverse) == -127);
    CHECK(code_of(largest / 254 * 0.98F, inverse) == 0);
    CHECK(code_of(largest / 254 * 1.02F, inverse) == 1);
  }
  CHECK(scale_of(0) == 0);
  CHECK(scale_of(1e-39F) == 0);
}

TEST_CASE("no two numbers of queries, keys and values lie in one place", "[trainer]") {
  const AttentionLayout layout{3, 5, 2};
  std::set<std::int64_t> qkv;
  std::set<std::int64_t> out;
  std::set<std::int64_t> statistics;
  for (std::int64_t b = 0; b < 2; ++b) {
    for (std::int64_t s = 0; s < layout.sequence; ++s) {
      for (std::int64_t h = 0; h < layout.heads; ++h) {
        for (const int which : {0, 1, 2}) {
          qkv.insert(layout.qkv(b, s, which, h));
          CHECK(layout.qkv(b, s + 1, which, h) - layout.qkv(b, s, which, h) == layout.qkv_stride());
        }
        out.insert(layout.out(b, s, h));
        statistics.insert(layout.statistic(b, s, h));
      }
    }
  }
  // 2 sequences of 5 tokens, 3 heads: each starts a run of head_dim numbers, and they are dense.
  CHECK(qkv.size() == 90);
  CHECK(*qkv.rbegin() == 89 * layout.head_dim);
  CHECK(out.size() == 30);
  CHECK(*out.rbegin() == 29 * layout.head_dim);
  CHECK(statistics.size() == 30);
  CHECK(*statistics.rbegin() == 29);
}

}  // namespace
}  // namespace foretrain::trainer::cuda
