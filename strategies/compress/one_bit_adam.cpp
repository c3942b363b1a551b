// 1-bit Adam (Tang et al. 2021). After a warm-up with plain Adam the variance is frozen, and ranks
// sum signs of their momentum: an all-to-all to the owner of each part, which adds, keeps an error
// of its own, and hands signs back by an all-gather. Momentum is in fp32.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"warm_up", "share of the steps before compression starts", 0.15, 0, 1, false, {}}}};
constexpr Bytes kFp32(4);

Bytes wire(const CodecOptions&, const Message& message) {
  return Bytes(std::ceil(message.elements / 8)) + Bytes(4);
}

// Momentum and error are read, their sum is written and its norm taken; then signs are written and
// the new error in the place of the old.
CodecWork encode(const CodecOptions& options, const Message& message) {
  CodecWork work = pass("momentum, error and norm", 3 * message.elements * kFp32);
  work += pass("compress", 2 * message.elements * kFp32 + wire(options, message));
  return work;
}

CodecWork decode(const CodecOptions& options, const Message& message) {
  return pass("decompress", message.elements * kFp32 + wire(options, message));
}

CodecWork sum(const CodecOptions& options, const Message& message, double codes) {
  return pass("decompress and add", message.elements * kFp32 + codes * wire(options, message));
}

// The error of what a rank sends, and of what it sums for the others.
Bytes state(const CodecOptions&, const Message& message, double ranks) {
  return (message.elements + message.elements / ranks) * kFp32;
}

double full_share(const CodecOptions& options) { return options["warm_up"]; }

}  // namespace

const Codec kOneBitAdam = {
    .options = kOptions,
    .wire = wire,
    .encode = encode,
    .decode = decode,
    .sum = sum,
    .state = state,
    .full_share = full_share,
    .accuracy =
        "same convergence as Adam on BERT with 15 % of the steps as warm-up "
        "(Tang et al. 2021, 2102.02888)",
    .assumed = "passes of the codec are counted from what it must read and write",
};

}  // namespace foretrain
