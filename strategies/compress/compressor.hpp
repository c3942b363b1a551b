// Compressors: what becomes of a message's bytes, what coding it costs, and how a sum is made of
// codes. The visible table is in catalog.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/program/kernel.hpp"

namespace foretrain {

/// Where a run communicates what it may compress: sums of gradients, gathers of parameters (ZeRO),
/// activations within tensor-parallel groups and between pipeline stages, and tokens on their way
/// to experts and back.
enum class WirePlace : std::uint8_t { gradients, parameters, tensor, pipeline, experts };
inline constexpr std::array<WirePlace, 5> kWirePlaces = {WirePlace::gradients,
                                                         WirePlace::parameters, WirePlace::tensor,
                                                         WirePlace::pipeline, WirePlace::experts};
/// The key of [compression]: "gradients".
[[nodiscard]] std::string_view name_of(WirePlace place);

/// Some of the places.
class WirePlaces {
 public:
  constexpr WirePlaces(std::initializer_list<WirePlace> places) {
    for (const WirePlace place : places) {
      bits_ |= 1U << static_cast<unsigned>(place);
    }
  }
  [[nodiscard]] constexpr bool contains(WirePlace place) const {
    return (bits_ >> static_cast<unsigned>(place) & 1U) != 0;
  }

 private:
  unsigned bits_ = 0;
};

/// A key of a compressor in the run file: a number within limits, or one of some words, whose value
/// is its index.
struct CodecOption {
  std::string_view name;
  std::string_view sentence;
  double fallback = 0;
  double least = 0;
  double most = 0;
  bool is_whole = false;
  std::span<const std::string_view> words;
};

/// Values of a compressor's options, by name.
class CodecOptions {
 public:
  CodecOptions() = default;
  /// All at their defaults.
  explicit CodecOptions(std::span<const CodecOption> options);
  void set(std::string_view name, double value) { values_[std::string(name)] = value; }
  /// REQUIRES: the compressor has the option.
  [[nodiscard]] double operator[](std::string_view name) const;

 private:
  std::map<std::string, double, std::less<>> values_;
};

/// What is to be sent: numbers of one width, which are the entries of matrices of rows x columns.
struct Message {
  double elements = 0;
  Bytes each{2};
  Dtype dtype = Dtype::bf16;  ///< in which a GPU multiplies such numbers
  std::int64_t rows = 1;
  std::int64_t columns = 1;

  [[nodiscard]] Bytes bytes() const { return elements * each; }
  /// One of `pieces` equal pieces.
  [[nodiscard]] Message part(double pieces) const {
    Message one = *this;
    one.elements /= pieces;
    return one;
  }
};

/// A kernel of a codec; its name is a literal.
struct CodecKernel {
  std::string_view name;
  std::variant<Gemm, MemoryBound> shape;
};

/// What the GPU does to code or decode: kernels, and a cost per call that does not depend on the
/// size.
struct CodecWork {
  std::vector<CodecKernel> kernels;
  Seconds fixed{0};

  [[nodiscard]] bool is_nothing() const { return kernels.empty() && fixed == Seconds(0); }
  /// Then that.
  CodecWork& operator+=(const CodecWork& other);
};
/// One pass over memory.
[[nodiscard]] CodecWork pass(std::string_view name, Bytes bytes, MemoryOp op = MemoryOp::streaming);

/// How a sum over ranks is made of codes: codes are added as numbers are (all-reduce compatible);
/// each rank gets all codes of the part that it owns, decodes and adds (an all-to-all instead of a
/// reduce-scatter, and an all-gather of coded sums for an all-reduce); each gets all codes (an
/// all-gather that grows with the ranks).
enum class Summing : std::uint8_t { in_code, by_owners, by_all };
[[nodiscard]] std::string_view name_of(Summing summing);

/// Of a sum in code: work, then an all-reduce of so many bytes.
struct SumRound {
  CodecWork before;
  Bytes wire;
};

/// The maths of a compressor. Every function takes the options first.
struct Codec {
  std::span<const CodecOption> options = {};
  /// Bytes of a message when coded.
  Bytes (*wire)(const CodecOptions&, const Message&) = nullptr;
  CodecWork (*encode)(const CodecOptions&, const Message&) = nullptr;
  CodecWork (*decode)(const CodecOptions&, const Message&) = nullptr;
  /// From this many codes of `message` to their sum, decoded.
  CodecWork (*sum)(const CodecOptions&, const Message&, double codes) = nullptr;
  /// Of a sum in code, before the last decode; null: encode, then all codes at once.
  std::vector<SumRound> (*rounds)(const CodecOptions&, const Message&) = nullptr;
  /// What a rank keeps from step to step for a message that `ranks` sum; null: nothing.
  Bytes (*state)(const CodecOptions&, const Message&, double ranks) = nullptr;
  /// Why these options make no sense for elements of this width; null: they always do.
  std::optional<std::string> (*refuse)(const CodecOptions&, Bytes each) = nullptr;
  /// The share of a training's steps that are not compressed; null: none.
  double (*full_share)(const CodecOptions&) = nullptr;
  std::string_view accuracy = {};  ///< what was published about it, and where
  std::string_view assumed = {};   ///< what of its cost nobody published; empty: nothing
};

struct Compressor {
  std::string_view name;
  std::string_view sentence;
  Summing summing = Summing::by_owners;
  bool has_two_hops = false;  ///< sums within nodes first, then between them, coded both times
  WirePlaces places = {};
  std::string_view elsewhere;  ///< why it makes no sense in the other places
  const Codec* codec = nullptr;
};

/// All compressors.
[[nodiscard]] std::span<const Compressor> compressors();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const Compressor& compressor(std::string_view name);

/// Bytes before over bytes after.
[[nodiscard]] double ratio(const Compressor& compressor, const CodecOptions& options,
                           const Message& message);
/// The ratio over a whole training, of which `full_share` is not compressed: 1 / (w + (1 - w) / r)
/// (Tang et al. 2021, for 1-bit Adam's warm-up).
[[nodiscard]] double overall_ratio(double ratio, double full_share);
/// Without overlap compression pays where a GPU's share of the network is slower than this:
/// (1 - 1/r) / (1/Tc + 1/Td), with the rates of coding and decoding in bytes before coding.
[[nodiscard]] BytesPerSecond break_even(double ratio, BytesPerSecond encode, BytesPerSecond decode);

// The implementations, one file each.
extern const Codec kCast;
extern const Codec kBlockInt8;
extern const Codec kBlockInt4;
extern const Codec kTopK;
extern const Codec kRandomK;
extern const Codec kPowerSgd;
extern const Codec kOneBitAdam;
extern const Codec kQsgd;
extern const Codec kEntropy;
extern const Codec kZfp;
extern const Codec kMpc;

// What they share.

/// n / size blocks, the last one perhaps short, each with 4 bytes of its own.
[[nodiscard]] Bytes block_scales(double elements, double block);
/// Reads the message, writes its code.
[[nodiscard]] CodecWork encode_pass(const Message& message, Bytes wire);
[[nodiscard]] CodecWork decode_pass(const Message& message, Bytes wire);
/// Reads all codes once, writes their sum.
[[nodiscard]] CodecWork sum_pass(const Message& message, Bytes wire, double codes);

// The functions of a codec that is limited by memory alone, from its `wire`.
template <auto wire>
[[nodiscard]] CodecWork encode_by_pass(const CodecOptions& options, const Message& message) {
  return encode_pass(message, wire(options, message));
}
template <auto wire>
[[nodiscard]] CodecWork decode_by_pass(const CodecOptions& options, const Message& message) {
  return decode_pass(message, wire(options, message));
}
template <auto wire>
[[nodiscard]] CodecWork sum_by_pass(const CodecOptions& options, const Message& message,
                                    double codes) {
  return sum_pass(message, wire(options, message), codes);
}

/// Adds what the last step left out, before coding: reads both, writes their sum.
[[nodiscard]] CodecWork feedback_pass(const Message& message);

}  // namespace foretrain
