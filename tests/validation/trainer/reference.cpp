// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>

namespace foretrain::testing {
namespace {

using namespace trainer;

std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

template <class Number>
Doubles downloaded(Device& device, const Tensor& tensor) {
  std::vector<Number> numbers(at(tensor.count));
  device.download(numbers.data(), tensor);
  return {numbers.begin(), numbers.end()};
}

// softmax of the first `seen` scores.
Doubles probabilities(const Doubles& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const double score : scores) {
    sum += std::exp(score - largest);
  }
  Doubles all;
  all.reserve(scores.size());
  for (const double score : scores) {
    all.push_back(std::exp(score - largest) / sum);
  }
  return all;
}

// One of q, k, v at a token, a head and a place of [B, S, 3, H, D].
struct QkvIndex {
  AttentionShape shape;
  std::int64_t batch;
  std::int64_t head;
  [[nodiscard]] std::size_t operator()(std::int64_t token, std::int64_t which,
                                       std::int64_t d) const {
    return at(
        (((batch * shape.sequence + token) * 3 + which) * shape.heads + head) * shape.head_dim + d);
  }
};

void attend(Doubles& out, const Doubles& qkv, const QkvIndex& index) {
  const AttentionShape& shape = index.shape;
  for (std::int64_t token = 0; token < shape.sequence; ++token) {
    Doubles scores(at(token + 1));
    for (std::int64_t seen = 0; seen <= token; ++seen) {
      for (std::int64_t d = 0; d < shape.head_dim; ++d) {
        scores[at(seen)] += qkv[index(token, 0, d)] * qkv[index(seen, 1, d)] /
                            std::sqrt(static_cast<double>(shape.head_dim));
      }
    }
    const Doubles weights = probabilities(scores);
    const std::int64_t row = (index.batch * shape.sequence + token) * shape.heads + index.head;
    for (std::int64_t d = 0; d < shape.head_dim; ++d) {
      for (std::int64_t seen = 0; seen <= token; ++seen) {
        out[at(row * shape.head_dim + d)] += weights[at(seen)] * qkv[index(seen, 2, d)];
      }
    }
  }
}

}  // namespace

Doubles random_numbers(std::int64_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  Doubles all(at(count));
  for (double& each : all) {
    each = std::ldexp(static_cast<double>(random() >> 8), -23) - 1;
  }
  return all;
}

Memory upload(Device& device, const Doubles& numbers) {
  const std::vector<float> floats(numbers.begin(), numbers.end());
  Memory memory = zeros(device, static_cast<std::int64_t>(floats.size()));
  device.upload(memory, floats.data());
  return memory;
}

Memory upload(Device& device, const std::vector<std::int32_t>& numbers) {
  Memory memory =
      device.allocate(static_cast<std::int64_t>(numbers.size()), Type::int32, MemoryClass::buffers);
  device.upload(memory, numbers.data());
  return memory;
}

Memory zeros(Device& device, std::int64_t count) {
  return device.allocate(count, Type::fp32, MemoryClass::buffers);
}

Doubles download(Device& device, const Tensor& tensor) {
  switch (tensor.type) {
    case Type::int32:
      return downloaded<std::int32_t>(device, tensor);
    case Type::int8:
      return downloaded<std::int8_t>(device, tensor);
    default:
      return downloaded<float>(device, tensor);
  }
}

double worst(const Doubles& a, const Doubles& b) {
  if (a.size() != b.size()) {
    return std::numeric_limits<double>::infinity();
  }
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    largest = difference <= largest ? largest : difference;  // not a number is the worst
  }
  return largest;
}

Doubles sum(const Doubles& a, const Doubles& b) {
  Doubles all = a;
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] += b.at(i);
  }
  return all;
}

double dot(const Doubles& a, const Doubles& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    total += a[i] * b.at(i);
  }
  return total;
}

Doubles numeric_gradient(const std::function<double(const Doubles&)>& function, Doubles at) {
  const double step = std::ldexp(1, -17);
  Doubles gradient;
  gradient.reserve(at.size());
  for (double& each : at) {
    const double middle = each;
    each = middle + step;
    const double above = function(at);
    each = middle - step;
    gradient.push_back((above - function(at)) / (2 * step));
    each = middle;
  }
  return gradient;
}

Doubles linear(const Doubles& in, const Doubles& weight, const Doubles& bias, std::int64_t inputs) {
  const std::int64_t rows = static_cast<std::int64_t>(in.size()) / inputs;
  const std::int64_t outputs = static_cast<std::int64_t>(weight.size()) / inputs;
  Doubles out(at(rows * outputs));
  for (std::int64_t n = 0; n < rows; ++n) {
    for (std::int64_t o = 0; o < outputs; ++o) {
      double& y = out[at(n * outputs + o)];
      y = bias.empty() ? 0 : bias[at(o)];
      for (std::int64_t i = 0; i < inputs; ++i) {
        y += in[at(n * inputs + i)] * weight[at(o * inputs + i)];
      }
    }
  }
  return out;
}

Doubles layer_norm(const Doubles& in, const Doubles& weight, const Doubles& bias) {
  const std::size_t hidden = weight.size();
  const auto width = static_cast<double>(hidden);
  Doubles out(in.size());
  for (std::size_t first = 0; first < in.size(); first += hidden) {
    double mean = 0;
    double variance = 0;
    for (std::size_t c = 0; c < hidden; ++c) {
      mean += in[first + c] / width;
    }
    for (std::size_t c = 0; c < hidden; ++c) {
      variance += (in[first + c] - mean) * (in[first + c] - mean) / width;
    }
    for (std::size_t c = 0; c < hidden; ++c) {
      out[first + c] = (in[first + c] - mean) / std::sqrt(variance + 1e-5) * weight[c] + bias[c];
    }
  }
  return out;
}

Doubles attention(const Doubles& qkv, const AttentionShape& shape) {
  Doubles out(qkv.size() / 3);
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      attend(out, qkv, {shape, b, h});
    }
  }
  return out;
}

Doubles gelu(const Doubles& in) {
  Doubles out;
  out.reserve(in.size());
  for (const double x : in) {
    const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    out.push_back(0.5 * x * (1 + std::tanh(inner)));
  }
  return out;
}

Doubles cross_entropy(const Doubles& logits, const std::vector<std::int32_t>& targets) {
  const auto columns = static_cast<std::ptrdiff_t>(logits.size() / targets.size());
  Doubles losses;
  losses.reserve(targets.size());
  for (std::size_t n = 0; n < targets.size(); ++n) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(n) * columns;
    losses.push_back(-std::log(probabilities({row, row + columns})[at(targets[n])]));
  }
  return losses;
}

}  // namespace foretrain::testing
