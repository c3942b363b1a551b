// The mathematics of device.hpp once more, as plain loops in double precision, and numeric
// gradients of them: what kernels of any device are held to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "validation/trainer/device.hpp"

namespace foretrain::testing {

using Doubles = std::vector<double>;

/// In [-1, 1), each a whole multiple of 2^-23: exact in fp32.
Doubles random_numbers(std::int64_t count, std::uint32_t seed);
trainer::Memory upload(trainer::Device& device, const Doubles& numbers);
trainer::Memory upload(trainer::Device& device, const std::vector<std::int32_t>& numbers);
trainer::Memory zeros(trainer::Device& device, std::int64_t count);
/// Of fp32, int32 or int8.
Doubles download(trainer::Device& device, const trainer::Tensor& tensor);

/// The largest |a - b|; infinite where the lengths differ.
double worst(const Doubles& a, const Doubles& b);
Doubles sum(const Doubles& a, const Doubles& b);
double dot(const Doubles& a, const Doubles& b);
/// Central differences: with steps of 2^-17, exact to 1e-9 where third derivatives are of size 10.
Doubles numeric_gradient(const std::function<double(const Doubles&)>& function, Doubles at);

// N, C, I, O, V as in device.hpp.
Doubles linear(const Doubles& in, const Doubles& weight, const Doubles& bias, std::int64_t inputs);
Doubles layer_norm(const Doubles& in, const Doubles& weight, const Doubles& bias);
Doubles attention(const Doubles& qkv, const trainer::AttentionShape& shape);
Doubles gelu(const Doubles& in);
/// Of each token; targets count from the first column.
Doubles cross_entropy(const Doubles& logits, const std::vector<std::int32_t>& targets);

}  // namespace foretrain::testing
