// The maths of every compressor, and the laws that all of them keep.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/compressor.hpp"

#include <cmath>
#include <set>
#include <string>

#include "platforms/gpu.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/source_tree.hpp"

namespace foretrain::testing {
namespace {

Message message_of(double elements, double width) {
  return {elements, Bytes(width), width < 4 ? Dtype::bf16 : Dtype::fp32, 1024, 1024};
}

constexpr double kMany = 64.0 * 1024 * 1024;

struct Example {
  const Compressor& row;
  CodecOptions options;
  Message message;

  [[nodiscard]] std::string text() const {
    return std::string(row.name) + ", " + std::to_string(message.elements) + " elements of " +
           std::to_string(message.each.value) + " bytes";
  }
};

/// Every row with its defaults, and with each option at either limit, on every width that it takes.
std::vector<Example> examples() {
  std::vector<Example> all;
  for (const Compressor& row : compressors()) {
    std::vector<CodecOptions> choices = {CodecOptions(row.codec->options)};
    for (const CodecOption& option : row.codec->options) {
      for (const double value : {option.least, option.most}) {
        choices.emplace_back(row.codec->options).set(option.name, value);
      }
    }
    for (const CodecOptions& options : choices) {
      for (const double width : {2.0, 4.0}) {
        if (row.codec->refuse != nullptr && row.codec->refuse(options, Bytes(width))) {
          continue;
        }
        for (const double elements : {1024.0 * 1024, kMany}) {
          all.push_back({row, options, message_of(elements, width)});
        }
      }
    }
  }
  return all;
}

Bytes traffic(const CodecWork& work) {
  Bytes sum;
  for (const CodecKernel& kernel : work.kernels) {
    if (const auto* bound = std::get_if<MemoryBound>(&kernel.shape)) {
      sum += bound->bytes;
    }
  }
  return sum;
}

double ratio_of(std::string_view name, double width, std::string_view option = "",
                double value = 0) {
  const Compressor& row = compressor(name);
  CodecOptions options(row.codec->options);
  if (!option.empty()) {
    options.set(option, value);
  }
  return ratio(row, options, message_of(kMany, width));
}

// Constants of codecs that the table of catalog.cpp does not name, or names twice.
std::vector<std::string> codecs_without_row(std::span<const SourceFile> files) {
  const std::string folder = "strategies/compress/";
  const std::string before = "\nconst Codec ";
  std::string table;
  for (const SourceFile& file : files) {
    table += file.path == folder + "catalog.cpp" ? file.text : "";
  }
  std::vector<std::string> faults;
  for (const SourceFile& file : files) {
    const std::size_t at = file.text.find(before);
    if (!file.path.starts_with(folder) || at == std::string::npos) {
      continue;
    }
    const std::size_t start = at + before.size();
    const std::string row = "&" + file.text.substr(start, file.text.find(' ', start) - start) + "}";
    const std::size_t first = table.find(row);
    if (first == std::string::npos || table.find(row, first + 1) != std::string::npos) {
      faults.push_back(file.path + ": not in one row of catalog.cpp");
    }
  }
  return faults;
}

}  // namespace

TEST_CASE("no compressor makes a message longer, whatever its options", "[compress]") {
  for (const Example& example : examples()) {
    INFO(example.text());
    const double r = ratio(example.row, example.options, example.message);
    CHECK(std::isfinite(r));
    const bool is_sparse = example.row.summing == Summing::by_all;  // half, each with its place
    const bool is_sketch = example.row.name == "power-sgd";         // a rank of all columns
    CHECK((r >= 1 || is_sparse || is_sketch));
  }
  for (const Compressor& row : compressors()) {
    INFO(row.name);
    CodecOptions options(row.codec->options);
    const double width = row.codec->refuse != nullptr && row.codec->refuse(options, 2_B) ? 4 : 2;
    CHECK(ratio(row, options, message_of(kMany, width)) > 1);
  }
}

TEST_CASE("coding and decoding touch at least the message and its code", "[compress]") {
  for (const Example& example : examples()) {
    INFO(example.text());
    const Codec& codec = *example.row.codec;
    const Bytes wire = codec.wire(example.options, example.message);
    for (const CodecWork& work : {codec.encode(example.options, example.message),
                                  codec.decode(example.options, example.message)}) {
      CHECK(traffic(work) >= std::max(wire, example.message.bytes()));
      CHECK(work.fixed >= 0_s);
    }
    const Bytes once = traffic(codec.sum(example.options, example.message, 1));
    const Bytes twice = traffic(codec.sum(example.options, example.message, 2));
    CHECK(twice > once);
  }
}

TEST_CASE("half a message has half the code, up to a block and a byte", "[compress]") {
  for (const Example& example : examples()) {
    if (example.row.name == "power-sgd") {
      continue;  // matrices are whole
    }
    INFO(example.text());
    const Codec& codec = *example.row.codec;
    const Bytes whole = codec.wire(example.options, example.message);
    const Bytes half = codec.wire(example.options, example.message.part(2));
    CHECK(std::abs((2.0 * half - whole).value) <= 16);
  }
}

TEST_CASE("every compressor says what is known of its accuracy, and why not elsewhere",
          "[compress]") {
  std::set<std::string_view> names;
  for (const Compressor& row : compressors()) {
    INFO(row.name);
    CHECK(names.insert(row.name).second);
    CHECK(!row.codec->accuracy.empty());
    CHECK(row.places.contains(WirePlace::gradients));
    const bool is_limited =
        std::any_of(kWirePlaces.begin(), kWirePlaces.end(),
                    [&](WirePlace place) { return !row.places.contains(place); });
    CHECK(is_limited == !row.elsewhere.empty());
    for (const CodecOption& option : row.codec->options) {
      CHECK(option.least <= option.fallback);
      CHECK(option.fallback <= option.most);
      CHECK(!option.sentence.empty());
    }
  }
}

TEST_CASE("integers of 8 and 4 bits take 2 and 4 times less than 16 bit, but for their scales",
          "[compress]") {
  // N + 4 N / 2048 and N / 2 + 4 N / 2048 bytes.
  CHECK(ratio_of("block-int8", 2) == Approx(2 / (1 + 4.0 / 2048)));
  CHECK(ratio_of("block-int4", 2) == Approx(2 / (0.5 + 4.0 / 2048)));
  CHECK(ratio_of("block-int8", 2, "block", 64) == Approx(2 / (1 + 4.0 / 64)));
  CHECK(ratio_of("block-int4", 4) == Approx(4 / (0.5 + 4.0 / 2048)));
}

TEST_CASE("casts and fixed rates take what their types take", "[compress]") {
  CHECK(ratio_of("cast", 4) == 2);
  CHECK(ratio_of("cast", 2, "to", 2) == 2);
  CHECK(ratio_of("cast", 4, "to", 2) == 4);
  CHECK(ratio_of("zfp", 4, "rate", 16) == 2);
  CHECK(ratio_of("zfp", 2, "rate", 4) == 4);
  CHECK(ratio_of("qsgd", 2, "bits", 4) == Approx(2 / (0.5 + 4.0 / 512)));
}

TEST_CASE("a kept entry costs its value, and its place unless all ranks know it", "[compress]") {
  CHECK(ratio_of("random-k", 2) == Approx(100).epsilon(1e-4));
  CHECK(ratio_of("top-k", 4) == Approx(50).epsilon(1e-4));
  CHECK(ratio_of("top-k", 2) == Approx(100.0 * 2 / 6).epsilon(1e-4));
}

TEST_CASE("PowerSGD sends r (n + m) instead of n m numbers", "[compress]") {
  // Vogels et al. 2019, section 3.
  const Compressor& row = compressor("power-sgd");
  for (const auto& [n, m, r] : {std::array{1024, 1024, 4}, {4096, 1024, 1}, {512, 2048, 32}}) {
    CodecOptions options(row.codec->options);
    options.set("rank", r);
    Message message = message_of(static_cast<double>(n) * m * 3, 2);
    message.rows = n;
    message.columns = m;
    CHECK(ratio(row, options, message) == Approx(static_cast<double>(n) * m / (r * (n + m))));
    const std::vector<SumRound> rounds = row.codec->rounds(options, message);
    REQUIRE(rounds.size() == 2);
    CHECK(rounds[0].wire == Bytes(3.0 * n * r * 2));
    CHECK(rounds[1].wire == Bytes(3.0 * m * r * 2));
    Flops work;  // 2 n m r for each of P, Q and their product
    for (const CodecWork& each :
         {row.codec->encode(options, message), row.codec->decode(options, message)}) {
      for (const CodecKernel& kernel : each.kernels) {
        if (const auto* gemm = std::get_if<Gemm>(&kernel.shape)) {
          work += flops(Kernel{NameId(0), *gemm});
        }
      }
    }
    CHECK(work == Flops(3.0 * 3 * 2 * n * m * r));
  }
}

TEST_CASE("1-bit Adam takes 16 times less than 16 bit after its warm-up, 5 times over all",
          "[compress]") {
  // Tang et al. 2021: 1 / (w + (1 - w) / 16), 5 at w = 0.15.
  const Compressor& row = compressor("1-bit-adam");
  CodecOptions options(row.codec->options);
  const double r = ratio_of("1-bit-adam", 2);
  CHECK(r == Approx(16).epsilon(1e-4));
  CHECK(row.codec->full_share(options) == 0.15);
  CHECK(overall_ratio(r, 0.15) == Approx(1 / (0.15 + 0.85 / 16)).epsilon(1e-4));
  CHECK(overall_ratio(16, 0.15) == Approx(4.92).epsilon(0.001));
  CHECK(overall_ratio(16, 1) == 1);
}

TEST_CASE("errors that are fed back are kept from step to step", "[compress]") {
  const Message message = message_of(1000, 4);
  const auto kept = [&](std::string_view name) {
    const Codec& codec = *compressor(name).codec;
    return codec.state == nullptr ? 0_B : codec.state(CodecOptions(codec.options), message, 4);
  };
  CHECK(kept("top-k") == 4000_B);
  CHECK(kept("random-k") == 4000_B);
  CHECK(kept("1-bit-adam") == 5000_B);  // also of the quarter that it sums
  CHECK(kept("power-sgd") > 4000_B);
  CHECK(kept("block-int4") == 0_B);
  CHECK(kept("entropy") == 0_B);
}

TEST_CASE("entropy coding on an A100 takes the times that DietGPU published", "[compress]") {
  // README of DietGPU: GB/s for bf16 by millions of floats, read off its plot within 3 %.
  config::Sources sources;
  const Gpu gpu =
      load_gpu(sources, "a100-sxm4-40gb", std::string(FORETRAIN_SOURCE_DIR) + "/platforms");
  const Codec& codec = *compressor("entropy").codec;
  const CodecOptions options(codec.options);
  const auto rate = [&](const CodecWork& work, Bytes bytes) {
    Seconds time = work.fixed;
    for (const CodecKernel& kernel : work.kernels) {
      time += kernel_time(Kernel{NameId(0), std::get<MemoryBound>(kernel.shape)}, gpu);
    }
    return (bytes / time).value * 1e-9;
  };
  for (const auto& [millions, encode, decode] : {std::array{1.0, 20.0, 23.0},
                                                 {4.0, 70.0, 90.0},
                                                 {8.0, 115.0, 151.0},
                                                 {16.0, 181.0, 257.0},
                                                 {64.0, 278.0, 423.0},
                                                 {256.0, 315.0, 504.0}}) {
    INFO(millions << " M floats");
    const Message message = message_of(millions * 1024 * 1024, 2);
    CHECK(rate(codec.encode(options, message), message.bytes()) == Approx(encode).epsilon(0.12));
    CHECK(rate(codec.decode(options, message), message.bytes()) == Approx(decode).epsilon(0.12));
  }
  CHECK(ratio_of("entropy", 2) == Approx(1.4925).epsilon(1e-3));
}

TEST_CASE("lossless coding pays on one 400 Gb/s NIC for long messages, and not on NVLink",
          "[compress]") {
  CHECK(break_even(1.5, 340_GBps, 580_GBps).value == Approx(71.4e9).epsilon(0.005));
  CHECK(break_even(1.5, 70_GBps, 90_GBps).value == Approx(13.1e9).epsilon(0.005));
}

TEST_CASE("a codec without a row in the table is found", "[compress]") {
  const std::vector<SourceFile> files = {
      {"strategies/compress/catalog.cpp", "{\"x\", kX, &kX},\n{\"z\", &kZ},{\"zz\", &kZ},\n"},
      {"strategies/compress/x.cpp", "\nconst Codec kX = {\n"},
      {"strategies/compress/y.cpp", "\nconst Codec kY = {\n"},
      {"strategies/compress/z.cpp", "\nconst Codec kZ = {\n"},
      {"strategies/compress/help.cpp", "void help();\n"}};
  CHECK(codecs_without_row(files) ==
        std::vector<std::string>{"strategies/compress/y.cpp: not in one row of catalog.cpp",
                                 "strategies/compress/z.cpp: not in one row of catalog.cpp"});
}

TEST_CASE("every codec of the folder has its row", "[compress]") {
  // That every file is in its CMakeLists.txt is a rule of repository_test.cpp.
  CHECK(codecs_without_row(read_source_tree(FORETRAIN_SOURCE_DIR)) == std::vector<std::string>{});
}

}  // namespace foretrain::testing
