// The table of compressors.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "sim/core/table.hpp"
#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr WirePlaces kEverywhere = {WirePlace::gradients, WirePlace::parameters, WirePlace::tensor,
                                    WirePlace::pipeline, WirePlace::experts};
constexpr WirePlaces kSums = {WirePlace::gradients};
constexpr WirePlaces kSparse = {WirePlace::gradients, WirePlace::tensor, WirePlace::pipeline};

constexpr std::string_view kNothing;
constexpr std::string_view kNeedsFeedback =
    "what it leaves out must be added in the next step, and only gradients come again";
constexpr std::string_view kNotZeros =
    "parameters and tokens that are not sent would be taken for zeros";
constexpr std::string_view kMomentum =
    "it sends the signs of the optimizer's momentum, in the place of gradients";
constexpr std::string_view kUnbiased =
    "its rounding is random so that sums of many gradients are right on average; for values that "
    "are "
    "used as they come take 'block-int8'";

// clang-format off
constexpr std::array<Compressor, 11> kCompressors = {{
    {"cast", "A narrower floating-point type: fp16, bf16 or fp8 with a scale shared by all ranks",
     Summing::in_code, false, kEverywhere, kNothing, &kCast},
    {"block-int8", "8-bit integers with a scale for each block (ZeRO++ qwZ)",
     Summing::by_owners, false, kEverywhere, kNothing, &kBlockInt8},
    {"block-int4", "4-bit integers with a scale for each block; sums in two hops (ZeRO++ qgZ)",
     Summing::by_owners, true, kEverywhere, kNothing, &kBlockInt4},
    {"top-k", "The largest entries with their places; the rest is fed back or lost",
     Summing::by_all, false, kSparse, kNotZeros, &kTopK},
    {"random-k", "Entries drawn by a seed that all ranks share; the rest is fed back",
     Summing::in_code, false, kSums, kNeedsFeedback, &kRandomK},
    {"power-sgd", "Two thin factors of each matrix by a step of power iteration, with feedback",
     Summing::in_code, false, kSums, kNeedsFeedback, &kPowerSgd},
    {"1-bit-adam", "Signs of the momentum and a scale, after a warm-up that is not compressed",
     Summing::by_owners, false, kSums, kMomentum, &kOneBitAdam},
    {"qsgd", "Few levels for each bucket, rounded at random",
     Summing::by_owners, false, kSums, kUnbiased, &kQsgd},
    {"entropy", "Lossless entropy coding of floating-point numbers (DietGPU, nvCOMP)",
     Summing::by_owners, false, kEverywhere, kNothing, &kEntropy},
    {"zfp", "Lossy transform coding at a fixed rate (cuZFP)",
     Summing::by_owners, false, kEverywhere, kNothing, &kZfp},
    {"mpc", "Lossless prediction and bit-plane coding (MPC)",
     Summing::by_owners, false, kEverywhere, kNothing, &kMpc},
}};
// clang-format on

}  // namespace

std::span<const Compressor> compressors() { return kCompressors; }

const Compressor& compressor(std::string_view name) {
  return row_named(kCompressors, name, "compressor");
}

}  // namespace foretrain
