// ZFP at a fixed rate (Lindstrom 2014; cuZFP), as in the MPI library of Zhou et al. (IPDPS 2021)
// and in Xu et al. (2024, 2409.02423). No throughput could be found for the GPUs in question: one
// pass over memory is assumed.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"rate", "bits per number after coding", 8, 1, 31, true, {}}}};

Bytes wire(const CodecOptions& options, const Message& message) {
  return Bytes(std::ceil(message.elements * options["rate"] / 8));
}

std::optional<std::string> refuse(const CodecOptions& options, Bytes each) {
  if (options["rate"] < 8 * each.value) {
    return std::nullopt;
  }
  return "a rate of " + std::to_string(static_cast<int>(options["rate"])) +
         " bits does not compress numbers of " + std::to_string(static_cast<int>(8 * each.value));
}

}  // namespace

const Codec kZfp = {
    .options = kOptions,
    .wire = wire,
    .encode = encode_by_pass<wire>,
    .decode = decode_by_pass<wire>,
    .sum = sum_by_pass<wire>,
    .refuse = refuse,
    .accuracy =
        "the same rate on every collective: the loss of GPT-NeoX-20B degrades; low rates on "
        "gradients "
        "only: it does not (Xu et al. 2024, 2409.02423)",
    .assumed = "throughput: one pass over memory; no numbers are published for these GPUs",
};

}  // namespace foretrain
