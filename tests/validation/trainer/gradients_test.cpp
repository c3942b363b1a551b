// SPDX-License-Identifier: Apache-2.0
// Backward kernels of the processor against central differences of the forward in double precision:
// with the loss sum(g y) of an output y, g is the gradient that comes in. Differences are exact to
// 1e-8, so what is left is fp32: K 2^-24 for a sum of K numbers of size 1.
#include <cstdint>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/reference.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

TEST_CASE("gradients of a linear layer are those of its forward", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = 7;
  const std::int64_t inputs = 5;
  const std::int64_t outputs = 11;
  const Doubles in = random_numbers(rows * inputs, 1);
  const Doubles weight = random_numbers(outputs * inputs, 2);
  const Doubles bias = random_numbers(outputs, 3);
  const Doubles g = random_numbers(rows * outputs, 4);
  const auto loss = [&](const Doubles& x, const Doubles& w, const Doubles& b) {
    return dot(g, linear(x, w, b, inputs));
  };
  const Memory out_gradient = upload(*device, g);
  SECTION("input") {
    const Memory got = upload(*device, in);  // is written over
    device->linear_input_gradient(kCompute, got, out_gradient, upload(*device, weight), outputs,
                                  inputs);
    const auto expected =
        numeric_gradient([&](const Doubles& x) { return loss(x, weight, bias); }, in);
    CHECK(worst(download(*device, got), expected) < 1e-6);
  }
  SECTION("weight") {
    const auto expected =
        numeric_gradient([&](const Doubles& w) { return loss(in, w, bias); }, weight);
    const Memory got = upload(*device, weight);
    device->linear_weight_gradient(kCompute, got, out_gradient, upload(*device, in), outputs,
                                   inputs, false);
    CHECK(worst(download(*device, got), expected) < 1e-6);
    device->linear_weight_gradient(kCompute, got, out_gradient, upload(*device, in), outputs,
                                   inputs, true);
    CHECK(worst(download(*device, got), sum(expected, expected)) < 2e-6);
  }
  SECTION("bias") {
    const auto expected =
        numeric_gradient([&](const Doubles& b) { return loss(in, weight, b); }, bias);
    const Memory got = upload(*device, bias);  // is added to
    device->bias_gradient(got, out_gradient, outputs);
    CHECK(worst(download(*device, got), sum(bias, expected)) < 1e-6);
  }
}

TEST_CASE("gradients of layer norm are those of its forward, and are added", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = 3;
  const std::int64_t hidden = 19;
  const Doubles in = random_numbers(rows * hidden, 1);
  const Doubles weight = random_numbers(hidden, 2);
  const Doubles bias = random_numbers(hidden, 3);
  const Doubles g = random_numbers(rows * hidden, 4);
  const auto loss = [&](const Doubles& x, const Doubles& w, const Doubles& b) {
    return dot(g, layer_norm(x, w, b));
  };
  const Memory statistics = zeros(*device, 2 * rows);
  device->layer_norm(zeros(*device, rows * hidden), statistics, upload(*device, in),
                     upload(*device, weight), upload(*device, bias), hidden);
  const Memory in_gradient = upload(*device, in);
  const Memory weight_gradient = upload(*device, weight);
  const Memory bias_gradient = upload(*device, bias);
  device->layer_norm_gradient(in_gradient, weight_gradient, bias_gradient, upload(*device, g),
                              upload(*device, in), upload(*device, weight), statistics, hidden);
  const auto by_in = numeric_gradient([&](const Doubles& x) { return loss(x, weight, bias); }, in);
  const auto by_weight =
      numeric_gradient([&](const Doubles& w) { return loss(in, w, bias); }, weight);
  const auto by_bias =
      numeric_gradient([&](const Doubles& b) { return loss(in, weight, b); }, bias);
  // 1 / deviation is about 2, which roundings of 19 terms are multiplied by.
  CHECK(worst(download(*device, in_gradient), sum(in, by_in)) < 3e-6);
  CHECK(worst(download(*device, weight_gradient), sum(weight, by_weight)) < 3e-6);
  CHECK(worst(download(*device, bias_gradient), sum(bias, by_bias)) < 1e-6);
}

TEST_CASE("the gradient of attention is that of its forward", "[trainer]") {
  const auto device = cpu_device();
  // The second needs two blocks of rows.
  const AttentionShape shape = GENERATE(AttentionShape{2, 2, 5, 3}, AttentionShape{1, 1, 67, 2});
  const std::int64_t width = shape.heads * shape.head_dim;
  const Doubles qkv = random_numbers(shape.tokens() * 3 * width, 1);
  const Doubles g = random_numbers(shape.tokens() * width, 2);
  const Memory out = zeros(*device, shape.tokens() * width);
  const Memory saved =
      upload(*device, Doubles(static_cast<std::size_t>(device->attention_saved_count(shape)), 9.0));
  const Memory in = upload(*device, qkv);
  device->attention(out, saved, in, shape);
  const Memory got = upload(*device, qkv);  // is written over
  device->attention_gradient(got, upload(*device, g), out, saved, in, shape);
  const auto expected =
      numeric_gradient([&](const Doubles& x) { return dot(g, attention(x, shape)); }, qkv);
  CHECK(worst(download(*device, got), expected) < 2e-6);
}

TEST_CASE("the gradient of GELU is that of its forward", "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t count = 1031;  // a chunk and a rest
  Doubles in = random_numbers(count, 1);
  for (double& each : in) {
    each *= 5;
  }
  const Doubles g = random_numbers(count, 2);
  const Memory got = upload(*device, g);
  device->gelu_gradient(got, upload(*device, in));
  Doubles expected;
  expected.reserve(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    const auto by_in = numeric_gradient([](const Doubles& x) { return gelu(x)[0]; }, {in[i]});
    expected.push_back(g[i] * by_in[0]);
  }
  // 1 - t^2 is multiplied by x u' / 2, 8.7 at 5: there an error of three units in the last place of
  // tanh, 3 x 2^-24, becomes 2 x 8.7 x that.
  CHECK(worst(download(*device, got), expected) < 3.2e-6);
}

TEST_CASE("the gradient of an embedding adds rows that come twice", "[trainer]") {
  const auto device = cpu_device();
  const Memory table = upload(*device, Doubles{1, 1, 1, 1});  // rows 5 and 6, two wide
  device->embedding_gradient(table, upload(*device, Doubles{1, 2, 10, 20, 100, 200, 7, 7}),
                             upload(*device, std::vector<std::int32_t>{6, 5, 6, 7}), 5, 2);
  CHECK(download(*device, table) == Doubles{11, 21, 102, 203});
}

TEST_CASE("the gradient of positions is a sum over sequences", "[trainer]") {
  const auto device = cpu_device();
  const Memory positions = upload(*device, Doubles{1, 1, 1, 1});
  device->positions_gradient(positions, upload(*device, Doubles{1, 2, 3, 4, 10, 20, 30, 40}), 2, 2);
  CHECK(download(*device, positions) == Doubles{12, 23, 34, 45});
}

TEST_CASE("cross-entropy of a vocabulary in one piece or in two is that of the whole",
          "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = 3;
  const std::int64_t columns = 21;
  const std::int64_t split = GENERATE(21, 8);  // columns of the first piece
  const std::vector<std::int32_t> targets = {0, 20, 7};
  Doubles logits = random_numbers(rows * columns, 1);
  for (double& each : logits) {
    each = 20 * each;  // far enough apart for a maximum to matter
  }
  const double scale = 0.25;
  const auto loss = [&](const Doubles& x) {
    const Doubles losses = cross_entropy(x, targets);
    return scale * (losses[0] + losses[1] + losses[2]);
  };
  struct Piece {
    std::int64_t first;
    std::int64_t columns;
    Memory logits;
    Memory maximum;
    Memory sums;
  };
  std::vector<Piece> pieces;
  for (const auto& [first, end] : {std::pair{std::int64_t{0}, split}, std::pair{split, columns}}) {
    Doubles part;
    for (std::int64_t n = 0; n < rows; ++n) {
      const auto row = logits.begin() + n * columns;
      part.insert(part.end(), row + first, row + end);
    }
    if (end > first) {
      pieces.push_back({first, end - first, upload(*device, part), zeros(*device, rows),
                        zeros(*device, 2 * rows)});
      device->row_maximum(pieces.back().maximum, pieces.back().logits, end - first);
    }
  }
  // What the ranks that hold the pieces would tell one another.
  Doubles maximum = download(*device, pieces.front().maximum);
  for (const Piece& piece : pieces) {
    const Doubles other = download(*device, piece.maximum);
    for (std::size_t n = 0; n < maximum.size(); ++n) {
      maximum[n] = std::max(maximum[n], other[n]);
    }
  }
  const Memory row_max = upload(*device, maximum);
  const Memory tokens = upload(*device, targets);
  Doubles sums(2 * static_cast<std::size_t>(rows));
  for (const Piece& piece : pieces) {
    device->softmax_sums(piece.sums, piece.logits, row_max, tokens, piece.first, piece.columns);
    sums = sum(sums, download(*device, piece.sums));
  }
  const Memory all_sums = upload(*device, sums);
  const Doubles expected = numeric_gradient(loss, logits);
  for (const Piece& piece : pieces) {
    const Memory losses = zeros(*device, rows);
    device->cross_entropy_gradient(losses, piece.logits, row_max, all_sums, tokens, piece.first,
                                   piece.columns, static_cast<float>(scale));
    // Losses are of size 40, and so is what they are differences of.
    CHECK(worst(download(*device, losses), cross_entropy(logits, targets)) < 40 * 2e-7);
    const Doubles got = download(*device, piece.logits);
    for (std::int64_t n = 0; n < rows; ++n) {
      const auto want = expected.begin() + n * columns + piece.first;
      const auto have = got.begin() + n * piece.columns;
      CHECK(worst({have, have + piece.columns}, {want, want + piece.columns}) < 1e-6);
    }
  }
}

}  // namespace
}  // namespace foretrain::testing
