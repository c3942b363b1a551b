// Quantisation to 4-bit integers, symmetric, with one fp32 scale for each block: qgZ of ZeRO++
// (Wang et al. 2023), which sums gradients in two hops, quantising twice.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"block", "elements that share a scale", 2048, 8, 1e6, true, {}}}};

Bytes wire(const CodecOptions& options, const Message& message) {
  return Bytes(std::ceil(message.elements / 2)) + block_scales(message.elements, options["block"]);
}

}  // namespace

// A block is held in registers between finding its scale and writing it: one read.
const Codec kBlockInt4 = {
    .options = kOptions,
    .wire = wire,
    .encode = encode_by_pass<wire>,
    .decode = decode_by_pass<wire>,
    .sum = sum_by_pass<wire>,
    .accuracy =
        "gradients in two hops: perplexity on par with the uncompressed run (Wang et al. 2023, "
        "ZeRO++)",
    .assumed = "blocks of 2048 elements: the papers state none",
};

}  // namespace foretrain
