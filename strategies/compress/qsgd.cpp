// QSGD (Alistarh et al. 2017): each entry is rounded at random to one of few levels of its bucket's
// norm, so that the mean is right.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 2> kOptions = {
    {{"bits", "per entry, sign included", 8, 2, 8, true, {}},
     {"bucket", "entries that share a norm", 512, 8, 1e6, true, {}}}};

Bytes wire(const CodecOptions& options, const Message& message) {
  return Bytes(std::ceil(message.elements * options["bits"] / 8)) +
         block_scales(message.elements, options["bucket"]);
}

}  // namespace

const Codec kQsgd = {
    .options = kOptions,
    .wire = wire,
    .encode = encode_by_pass<wire>,
    .decode = decode_by_pass<wire>,
    .sum = sum_by_pass<wire>,
    .accuracy =
        "4 and 8 bits: ResNet152 as accurate, 1.8 times as fast on 16 GPUs (Alistarh et al. 2017)",
    .assumed = "entries are not entropy coded; random numbers cost nothing beside memory traffic",
};

}  // namespace foretrain
