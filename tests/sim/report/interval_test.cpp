// What is said of the band within which a real step should lie.
// SPDX-License-Identifier: Apache-2.0
#include "sim/report/prediction.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {
namespace {

std::string text_of(Seconds low, Seconds high) {
  Prediction prediction;
  prediction.step_time = Picoseconds{2'000'000'000'000};  // 2 s
  prediction.num_gpus = 8;
  prediction.interval = Interval{low, high, "fully sharded", 9, 10, 3};
  return to_text(prediction);
}

TEST_CASE("a band around the prediction says how many published runs fell within theirs",
          "[report]") {
  CHECK(has(text_of(Seconds(1.9), Seconds(2.5)),
            "  1.9 to 2.5 s: 9 of 10 published runs of this kind (fully sharded), from 3 sources, "
            "fell within such a band\n"
            "  whose width came from the other sources\n"));
}

TEST_CASE("a band beyond the prediction says that such runs are slower, or faster", "[report]") {
  CHECK(has(text_of(Seconds(2.1), Seconds(2.5)),
            "other sources; such runs are slower than predicted, nearly all of them\n"));
  CHECK(has(text_of(Seconds(1.5), Seconds(1.9)),
            "other sources; such runs are faster than predicted, nearly all of them\n"));
}

}  // namespace
}  // namespace foretrain::testing
