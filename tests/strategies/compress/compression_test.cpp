// [compression] in a run file: what is read, and what is said of mistakes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/compression.hpp"

#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::string with_compression(const std::string& table) {
  return std::string(kRunFile) + "\n[compression]\n" + table + "\n";
}

std::string mistake(const std::string& table) { return mistakes_in(with_compression(table)); }

}  // namespace

TEST_CASE("each place takes a method, its options, and how it is applied", "[compress]") {
  const Run run = resolve_text(with_compression(
      "gradients = { method = \"power-sgd\", rank = 8, between_nodes_only = true }\n"
      "pipeline = { method = \"cast\", to = \"fp8\", chunks = 4 }"));
  const WireCompression* gradients = run.compression.at(WirePlace::gradients);
  REQUIRE(gradients != nullptr);
  CHECK(gradients->method->name == "power-sgd");
  CHECK(gradients->options["rank"] == 8);
  CHECK(gradients->between_nodes_only);
  CHECK(gradients->chunks == 1);
  const WireCompression* pipeline = run.compression.at(WirePlace::pipeline);
  REQUIRE(pipeline != nullptr);
  CHECK(pipeline->options["to"] == 2);
  CHECK(pipeline->chunks == 4);
  CHECK(run.compression.at(WirePlace::tensor) == nullptr);
  CHECK(resolve_text(std::string(kRunFile)).compression.is_none());
  CHECK(describe(run.compression).size() == 2);
}

TEST_CASE("the rates that a codec was measured at are read and told", "[compress]") {
  const Run run = resolve_text(with_compression(
      "gradients = { method = \"block-int8\", encode_rate = \"2 GB/s\", decode_rate = "
      "\"16 Gb/s\" }"));
  const auto& rates = run.compression.at(WirePlace::gradients)->rates;
  REQUIRE(rates);
  CHECK(rates->encode == BytesPerSecond(2e9));
  CHECK(rates->decode == BytesPerSecond(2e9));
  CHECK(describe(run.compression)
            .front()
            .starts_with("gradients: block-int8, measured to encode at 2 GB/s and decode at 2 "
                         "GB/s; accuracy: "));
  const Run plain = resolve_text(with_compression("gradients = { method = \"block-int8\" }"));
  CHECK_FALSE(plain.compression.at(WirePlace::gradients)->rates);
}

TEST_CASE("a method in a place that it is not made for is refused with the reason", "[compress]") {
  for (const Compressor& row : compressors()) {
    for (const WirePlace place : kWirePlaces) {
      const std::string said = mistake(std::string(name_of(place)) + " = { method = \"" +
                                       std::string(row.name) + "\" }");
      INFO(row.name << " in " << name_of(place) << ": " << said);
      const std::string refusal = "'" + std::string(row.name) + "' makes no sense for " +
                                  std::string(name_of(place)) + ": " + std::string(row.elsewhere);
      CHECK((said.find(refusal) != std::string::npos) == !row.places.contains(place));
    }
  }
}

TEST_CASE("mistakes in [compression] are told with what would be right", "[compress]") {
  const auto says = [](const std::string& table, const std::string& part) {
    const std::string said = mistake(table);
    INFO(table << " -> " << said);
    CHECK(said.find(part) != std::string::npos);
  };
  says("gradients = { method = \"block-int3\" }", "block-int4");
  says("gradients = { block = 64 }", "method");
  says("gradients = { method = \"top-k\", density = 2.0 }", "expected a number from 1e-06 to 1");
  says("gradients = { method = \"power-sgd\", rank = 0 }", "rank");
  says("gradients = { method = \"power-sgd\", block = 64 }", "unknown key 'block'");
  says("gradients = { method = \"block-int8\", block_size = 64 }", "'block'");
  says("gradients = { method = \"block-int8\", chunks = 0 }", "chunks");
  says("gradients = { method = \"block-int8\", encode_rate = \"2 GB/s\" }", "needs decode_rate");
  says("gradients = { method = \"block-int8\", decode_rate = \"2 GB/s\" }", "needs encode_rate");
  says("gradients = { method = \"cast\", encode_rate = \"0 B/s\", decode_rate = \"2 GB/s\" }",
       "expected a rate above zero");
  says("gradients = { method = \"cast\", encode_rate = \"2 GB\", decode_rate = \"2 GB/s\" }",
       "encode_rate");
  says("zero_quantized_gradients = { method = \"block-int4\" }", "'gradients'");
  says("gradients = \"block-int4\"", "compression.gradients");
  says("pipeline = { method = \"cast\" }", "to = \"fp8\" would narrow it");
  says("gradients = { method = \"entropy\" }", "no ratio is published");
  says("parameters = { method = \"block-int8\" }", "no parameters are gathered");
  CHECK(mistake("gradients = { method = \"entropy\", ratio = 1.3 }").empty());
}

}  // namespace foretrain::testing
