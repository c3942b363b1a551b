// Casts to a narrower floating-point type. A sum of fp8 numbers is one only if all ranks scale
// alike: they agree on the largest magnitude first (Peng et al. 2023, FP8-LM).
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 3> kTypes = {"bf16", "fp16", "fp8"};
constexpr double kFp8 = 2;  // its place among the types
constexpr std::array<CodecOption, 1> kOptions = {
    {{"to", "the type on the wire", 0, 0, kFp8, true, kTypes}}};

bool is_fp8(const CodecOptions& options) { return options["to"] == kFp8; }
Bytes width(const CodecOptions& options) { return Bytes(is_fp8(options) ? 1 : 2); }

Bytes wire(const CodecOptions& options, const Message& message) {
  return Bytes(std::ceil((message.elements * width(options)).value));
}

CodecWork largest(const CodecOptions& options, const Message& message) {
  return is_fp8(options) ? pass("largest magnitude", message.bytes()) : CodecWork{};
}

CodecWork encode(const CodecOptions& options, const Message& message) {
  CodecWork work = largest(options, message);
  work += encode_pass(message, wire(options, message));
  return work;
}

std::vector<SumRound> rounds(const CodecOptions& options, const Message& message) {
  const Bytes coded = wire(options, message);
  if (!is_fp8(options)) {
    return {{encode(options, message), coded}};
  }
  return {{largest(options, message), Bytes(4)}, {encode_pass(message, coded), coded}};
}

std::optional<std::string> refuse(const CodecOptions& options, Bytes each) {
  if (each > width(options)) {
    return std::nullopt;
  }
  return std::string("what is sent there is no wider than the type that it is cast to") +
         (each > Bytes(1) ? "; to = \"fp8\" would narrow it" : "");
}

}  // namespace

const Codec kCast = {
    .options = kOptions,
    .wire = wire,
    .encode = encode,
    .decode = decode_by_pass<wire>,
    .sum = sum_by_pass<wire>,
    .rounds = rounds,
    .refuse = refuse,
    .accuracy =
        "16 bit: standard practice; fp8 gradients: GPT-175B as good as with bf16 (Peng et al. "
        "2023, "
        "FP8-LM)",
};

}  // namespace foretrain
