// SPDX-License-Identifier: Apache-2.0
// Words of a rule are found whole, in any case, where they should be.
#include "validation/words.hpp"

#include "tests/support/catch.hpp"

namespace foretrain::validation {
namespace {

TEST_CASE("a word is found only as a whole", "[words]") {
  CHECK_FALSE(Words("op").is_in("selective (core attention: QK^T, softmax, dropout, AV)"));
  CHECK(Words("op").is_in("selective op"));
  CHECK(Words("op").is_in("op-level SAC"));
  CHECK_FALSE(Words("H100").is_in("GH100"));
  CHECK(Words("H100").is_in("NVIDIA H100-SXM5-80GB"));
  CHECK_FALSE(Words("fp8").is_in("MXFP8"));
}

TEST_CASE("words are found in any case, and after a first place where they are no word",
          "[words]") {
  CHECK(Words("llama").is_in("nanotron-LLaMA-1.34B"));
  CHECK(Words("op").is_in("dropout, op"));
}

TEST_CASE("alternatives need one, joined words need all", "[words]") {
  CHECK(Words("per op|op-level").is_in("selective (op-level SAC)"));
  CHECK_FALSE(Words("per op|op-level").is_in("selective op"));
  CHECK(Words("A100&40GB").is_in("A100-SXM4-40GB"));
  CHECK_FALSE(Words("A100&40GB").is_in("A100-SXM4-80GB"));
  CHECK(Words("A100&40GB|H100").is_in("H100"));
}

TEST_CASE("anchors hold a word to the ends of the cell", "[words]") {
  CHECK(Words("^full").is_in("full every layer"));
  CHECK_FALSE(Words("^full").is_in("not full"));
  CHECK(Words("^1$").is_in("1"));
  CHECK_FALSE(Words("^1$").is_in("ZeRO-1"));
  CHECK(Words("^$").is_in(""));
  CHECK_FALSE(Words("^$").is_in("none"));
}

}  // namespace
}  // namespace foretrain::validation
