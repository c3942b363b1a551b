// SPDX-License-Identifier: Apache-2.0
// Backward kernels of the processor against central differences of the forward in double precision:
// with the loss sum(g y) of an output y, g is the gradient that comes in. Differences are exact to
// 1e-8, so what is left is fp32: K 2^-24 for a sum of K numbers of size 1.
#include <algorithm>
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
  // 1 - t^2 is multiplied by x u' / 2, 8.7 at 5: there an error of four units in the last place of
  // tanh, 4 x 2^-24, becomes 2 x 8.7 x that.
  CHECK(worst(download(*device, got), expected) < 4.2e-6);
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

// The columns of the vocabulary that one rank would hold.
struct Piece {
  std::int64_t first;
  std::int64_t columns;
  Memory logits;
};

Doubles columns_of(const Doubles& matrix, std::int64_t width, std::int64_t first,
                   std::int64_t count) {
  Doubles part;
  for (auto row = matrix.begin(); row != matrix.end(); row += width) {
    part.insert(part.end(), row + first, row + first + count);
  }
  return part;
}

// The maximum of each row, as the ranks would tell one another.
Memory common_maximum(Device& device, const std::vector<Piece>& pieces, std::int64_t rows) {
  Doubles all(static_cast<std::size_t>(rows), -1e30);
  for (const Piece& piece : pieces) {
    const Memory own = zeros(device, rows);
    device.row_maximum(own, piece.logits, piece.columns);
    const Doubles numbers = download(device, own);
    std::transform(all.begin(), all.end(), numbers.begin(), all.begin(),
                   [](double left, double right) { return std::max(left, right); });
  }
  return upload(device, all);
}

Memory common_sums(Device& device, const std::vector<Piece>& pieces, const Memory& row_max,
                   const Memory& targets) {
  const std::int64_t count = 2 * row_max.tensor().count;
  Doubles all(static_cast<std::size_t>(count));
  for (const Piece& piece : pieces) {
    const Memory own = zeros(device, count);
    device.softmax_sums(own, piece.logits, row_max, targets, piece.first, piece.columns);
    all = sum(all, download(device, own));
  }
  return upload(device, all);
}

TEST_CASE("cross-entropy of a vocabulary in one piece or in two is that of the whole",
          "[trainer]") {
  const auto device = cpu_device();
  const std::int64_t rows = 3;
  const std::int64_t columns = 21;
  const std::vector<std::int32_t> targets = {0, 20, 7};
  Doubles logits = random_numbers(rows * columns, 1);
  for (double& each : logits) {
    each = 20 * each;  // far enough apart for a maximum to matter
  }
  std::vector<Piece> pieces;
  const std::int64_t split = GENERATE(21, 8);  // columns of the first piece
  pieces.push_back({0, split, upload(*device, columns_of(logits, columns, 0, split))});
  if (split < columns) {
    pieces.push_back({split, columns - split,
                      upload(*device, columns_of(logits, columns, split, columns - split))});
  }
  const Memory tokens = upload(*device, targets);
  const Memory row_max = common_maximum(*device, pieces, rows);
  const Memory sums = common_sums(*device, pieces, row_max, tokens);

  const double scale = 0.25;
  const Doubles expected = numeric_gradient(
      [&](const Doubles& x) {
        return dot(Doubles(targets.size(), scale), cross_entropy(x, targets));
      },
      logits);
  for (const Piece& piece : pieces) {
    const Memory losses = zeros(*device, rows);
    device->cross_entropy_gradient(losses, piece.logits, row_max, sums, tokens, piece.first,
                                   piece.columns, static_cast<float>(scale));
    // Losses are of size 40, and so is what they are differences of.
    CHECK(worst(download(*device, losses), cross_entropy(logits, targets)) < 40 * 2e-7);
    CHECK(worst(download(*device, piece.logits),
                columns_of(expected, columns, piece.first, piece.columns)) < 1e-6);
  }
}

}  // namespace
}  // namespace foretrain::testing
