// The k largest entries, each as a value and a 32-bit place. The places of ranks differ, so codes
// are gathered, not added: what a rank receives grows with the ranks.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"density", "share of the entries that are sent", 0.01, 1e-6, 1, false, {}}}};
constexpr Bytes kPlace(4);
constexpr double kSelectionReads = 4;  // of a radix selection, 8 bits at a time; assumed

double kept(const CodecOptions& options, const Message& message) {
  return std::ceil(options["density"] * message.elements);
}

Bytes wire(const CodecOptions& options, const Message& message) {
  return kept(options, message) * (message.each + kPlace);
}

CodecWork encode(const CodecOptions& options, const Message& message) {
  CodecWork work = feedback_pass(message);
  work += pass("select the largest", kSelectionReads * message.bytes());
  work += pass("compress", 2.0 * message.bytes() + wire(options, message));
  return work;
}

// Zeros, then every value to its place: a read and a write of a scattered entry.
CodecWork sum(const CodecOptions& options, const Message& message, double codes) {
  CodecWork work = pass("clear", message.bytes());
  work += pass("scatter and add",
               codes * (wire(options, message) + 2.0 * kept(options, message) * message.each),
               MemoryOp::gather);
  return work;
}

CodecWork decode(const CodecOptions& options, const Message& message) {
  return sum(options, message, 1);
}

Bytes state(const CodecOptions&, const Message& message, double) { return message.bytes(); }

}  // namespace

const Codec kTopK = {
    .options = kOptions,
    .wire = wire,
    .encode = encode,
    .decode = decode,
    .sum = sum,
    .state = state,
    .accuracy =
        "gradients: 270 to 600 times fewer bytes without loss on CNNs and RNNs, with momentum "
        "correction "
        "and warm-up (Lin et al. 2018, DGC); activations: 10 % is about the limit (Bian et al. "
        "2023, "
        "2301.02654)",
    .assumed = "selection reads the message four times",
};

}  // namespace foretrain
