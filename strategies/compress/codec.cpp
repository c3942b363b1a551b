// What compressors share: options, passes over memory, and the closed forms.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "sim/core/error.hpp"
#include "strategies/compress/compressor.hpp"

namespace foretrain {

std::string_view name_of(WirePlace place) {
  switch (place) {
    case WirePlace::gradients:
      return "gradients";
    case WirePlace::parameters:
      return "parameters";
    case WirePlace::tensor:
      return "tensor";
    case WirePlace::pipeline:
      return "pipeline";
    case WirePlace::experts:
      return "experts";
  }
  throw InternalError("a place that nobody named");
}

std::string_view name_of(Summing summing) {
  switch (summing) {
    case Summing::in_code:
      return "all-reduce of codes";
    case Summing::by_owners:
      return "all-to-all, sum, all-gather";
    case Summing::by_all:
      return "all-gather, sum";
  }
  throw InternalError("a way to sum that nobody named");
}

CodecOptions::CodecOptions(std::span<const CodecOption> options) {
  for (const CodecOption& option : options) {
    set(option.name, option.fallback);
  }
}

double CodecOptions::operator[](std::string_view name) const {
  const auto found = values_.find(name);
  FORETRAIN_ASSERT(found != values_.end(), "no such option: " + std::string(name));
  return found->second;
}

CodecWork& CodecWork::operator+=(const CodecWork& other) {
  kernels.insert(kernels.end(), other.kernels.begin(), other.kernels.end());
  fixed += other.fixed;
  return *this;
}

CodecWork pass(std::string_view name, Bytes bytes, MemoryOp op) {
  CodecWork work;
  work.kernels.push_back({name, MemoryBound{op, bytes}});
  return work;
}

double ratio(const Compressor& compressor, const CodecOptions& options, const Message& message) {
  return message.bytes() / compressor.codec->wire(options, message);
}

double overall_ratio(double ratio, double full_share) {
  return 1 / (full_share + (1 - full_share) / ratio);
}

BytesPerSecond break_even(double ratio, BytesPerSecond encode, BytesPerSecond decode) {
  return BytesPerSecond((1 - 1 / ratio) / (1 / encode.value + 1 / decode.value));
}

Bytes block_scales(double elements, double block) { return std::ceil(elements / block) * Bytes(4); }

CodecWork encode_pass(const Message& message, Bytes wire) {
  return pass("compress", message.bytes() + wire);
}

CodecWork decode_pass(const Message& message, Bytes wire) {
  return pass("decompress", message.bytes() + wire);
}

CodecWork sum_pass(const Message& message, Bytes wire, double codes) {
  return pass("decompress and add", message.bytes() + codes * wire);
}

CodecWork feedback_pass(const Message& message) {
  return pass("error feedback", 3.0 * message.bytes());
}

}  // namespace foretrain
