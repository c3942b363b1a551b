// MPC, lossless compression by prediction and bit planes (Yang et al. 2015), as in the MPI library
// of Zhou et al. (IPDPS 2021). Neither throughput nor ratio on training's tensors could be found.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"ratio", "bytes before over bytes after", 1.25, 1, 100, false, {}}}};

Bytes wire(const CodecOptions& options, const Message& message) {
  return Bytes(std::ceil((message.bytes() / options["ratio"]).value));
}

}  // namespace

const Codec kMpc = {
    .options = kOptions,
    .wire = wire,
    .encode = encode_by_pass<wire>,
    .decode = decode_by_pass<wire>,
    .sum = sum_by_pass<wire>,
    .accuracy = "lossless: none",
    .assumed =
        "ratio 1.25, and throughput: one pass over memory; no numbers are published for training",
};

}  // namespace foretrain
