// Lossless entropy coding of floating-point numbers on the GPU, as DietGPU and nvCOMP have it.
//
// T = a + bytes / b, fitted to DietGPU's published curves for bf16 on an A100 (its README: 1 M to
// 1024 M floats; least relative error): compress a = 90 us, b = 340 GB/s; decompress 78 us and
// 580 GB/s. The rate is told as passes over memory, at the 1,382 GB/s that an A100-40GB streams at
// (RRZE-HPC/gpu-benches), so that it goes with a GPU's memory.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include "strategies/compress/compressor.hpp"

namespace foretrain {
namespace {

constexpr std::array<CodecOption, 1> kOptions = {
    {{"ratio",
      "bytes before over bytes after; 0: as published for the type",
      0,
      0,
      100,
      false,
      {}}}};

constexpr double kEncodePasses = 1382.0 / 340.0;
constexpr double kDecodePasses = 1382.0 / 580.0;
constexpr Seconds kEncodeFixed(90e-6);
constexpr Seconds kDecodeFixed(78e-6);

// Of normally distributed numbers (DietGPU's README).
double published_ratio(Dtype dtype) { return dtype == Dtype::fp16 ? 1 / 0.86 : 1 / 0.67; }

Bytes wire(const CodecOptions& options, const Message& message) {
  const double ratio = options["ratio"] > 0 ? options["ratio"] : published_ratio(message.dtype);
  return Bytes(std::ceil((message.bytes() / ratio).value));
}

CodecWork coding(std::string_view name, Bytes traffic, Seconds fixed) {
  CodecWork work = pass(name, traffic);
  work.fixed = fixed;
  return work;
}

CodecWork encode(const CodecOptions&, const Message& message) {
  return coding("compress", kEncodePasses * message.bytes(), kEncodeFixed);
}

CodecWork decode(const CodecOptions&, const Message& message) {
  return coding("decompress", kDecodePasses * message.bytes(), kDecodeFixed);
}

// One call decodes a batch; then all are read and their sum is written.
CodecWork sum(const CodecOptions&, const Message& message, double codes) {
  CodecWork work = coding("decompress", codes * kDecodePasses * message.bytes(), kDecodeFixed);
  work += pass("add", (codes + 1) * message.bytes());
  return work;
}

std::optional<std::string> refuse(const CodecOptions& options, Bytes each) {
  if (options["ratio"] > 0 && options["ratio"] < 1) {
    return "a ratio below 1 would make messages longer";
  }
  if (options["ratio"] == 0 && each != Bytes(2)) {
    return "no ratio is published for numbers that are not of 16 bit; say 'ratio'";
  }
  return std::nullopt;
}

}  // namespace

const Codec kEntropy = {
    .options = kOptions,
    .wire = wire,
    .encode = encode,
    .decode = decode,
    .sum = sum,
    .refuse = refuse,
    .accuracy = "lossless: none",
    .assumed =
        "the ratio depends on the data; rates scale with memory bandwidth from DietGPU on an A100",
};

}  // namespace foretrain
