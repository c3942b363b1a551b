// Entries that a seed shared by all ranks draws: no places are sent, and codes add up as numbers
// do.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"density", "share of the entries that are sent", 0.01, 1e-6, 0.5, false, {}}}};

double kept(const CodecOptions& options, const Message& message) {
  return std::ceil(options["density"] * message.elements);
}

Bytes wire(const CodecOptions& options, const Message& message) {
  return kept(options, message) * message.each;
}

// What is drawn is taken out of the error as well: read and cleared where it stands.
CodecWork encode(const CodecOptions& options, const Message& message) {
  CodecWork work = feedback_pass(message);
  work += pass("compress", 3.0 * wire(options, message), MemoryOp::gather);
  return work;
}

CodecWork sum(const CodecOptions& options, const Message& message, double codes) {
  CodecWork work = pass("clear", message.bytes());
  work += pass("scatter and add", 3.0 * codes * wire(options, message), MemoryOp::gather);
  return work;
}

CodecWork decode(const CodecOptions& options, const Message& message) {
  return sum(options, message, 1);
}

Bytes state(const CodecOptions&, const Message& message, double) { return message.bytes(); }

}  // namespace

const Codec kRandomK = {
    .options = kOptions,
    .wire = wire,
    .encode = encode,
    .decode = decode,
    .sum = sum,
    .state = state,
    .accuracy =
        "converges more slowly than top-k at the same density and needs error feedback (Stich et "
        "al. "
        "2018, Sparsified SGD with memory)",
};

}  // namespace foretrain
