// What a reader makes of well-formed tables: conversions, optional keys, origins, children.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/reader.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/config/reading.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

using testing::mistakes;
using testing::result;

enum class Recomputation : std::uint8_t { none, selective, full };
constexpr auto kRecomputations =
    std::to_array<Choice<Recomputation>>({{"none", Recomputation::none},
                                          {"selective", Recomputation::selective},
                                          {"full", Recomputation::full}});

TEST_CASE("a reader converts values to the type that is asked for", "[config]") {
  const std::string text =
      "b = true\ni = 7\nd = 0.5\nw = 3\ns = \"x\"\nm = \"80 GB\"\nr = \"400 Gb/s\"\n"
      "t = \"5 us\"\nf = \"2 TFLOP\"\np = \"989 TFLOP/s\"\nh = \"1.5 GHz\"\n";
  CHECK(mistakes(text, [](Reader& reader) {
          CHECK(reader.get<bool>("b"));
          CHECK(reader.get<std::int64_t>("i") == 7);
          CHECK(reader.get<double>("d") == 0.5);
          CHECK(reader.get<double>("w") == 3.0);  // a whole number is a number
          CHECK(reader.get<std::string>("s") == "x");
          CHECK(reader.get<Bytes>("m") == 80_GB);
          CHECK(reader.get<BytesPerSecond>("r") == 50_GBps);
          CHECK(reader.get<Seconds>("t") == 5_us);
          CHECK(reader.get<Flops>("f") == Flops(2e12));
          CHECK(reader.get<FlopsPerSecond>("p") == 989_TFLOPs);
          CHECK(reader.get<Hertz>("h") == Hertz(1.5e9));
          reader.finish();
        }) == "no error");
}

TEST_CASE("an optional key that is absent gives the fallback or nothing", "[config]") {
  CHECK(mistakes("x = 2\n", [](Reader& reader) {
          CHECK(reader.get<double>("x", 1.0) == 2.0);
          CHECK(reader.get<double>("y", 1.0) == 1.0);
          CHECK(reader.maybe<Bytes>("z") == std::nullopt);
          CHECK(reader.maybe<double>("x") == 2.0);
          CHECK(reader.count("n", 3, {1, 4}) == 3);
          CHECK(reader.maybe_count("n") == std::nullopt);
          CHECK(reader.choice<Recomputation>("recompute", kRecomputations, Recomputation::full) ==
                Recomputation::full);
          CHECK(!reader.maybe_child("t"));
          CHECK(reader.children("list").empty());
          reader.finish();
        }) == "no error");
}

TEST_CASE("counts take both ends of their range", "[config]") {
  CHECK(mistakes("a = 1\nb = 8\nc = 0\n", [](Reader& reader) {
          CHECK(reader.count("a", {1, 8}) == 1);
          CHECK(reader.count("b", {1, 8}) == 8);
          CHECK(reader.count("c", 5, {0, 8}) == 0);
        }) == "no error");
}

TEST_CASE("a choice is one of its words", "[config]") {
  CHECK(result("r = \"selective\"\n", [](Reader& reader) {
          return reader.choice<Recomputation>("r", kRecomputations);
        }) == Recomputation::selective);
}

TEST_CASE("a number takes the origin of the nearest table that states one", "[config]") {
  const std::string text =
      "source = \"sheet\"\n"
      "rate = \"2 TB/s\"\n"
      "[peak]\nbasis = \"measured\"\nbf16 = \"312 TFLOP/s\"\n"
      "[peak.deep]\nsource = \"paper\"\nshare = 0.5\n";
  CHECK(mistakes(text, [](Reader& reader) {
          const auto rate = reader.get<Sourced<BytesPerSecond>>("rate");
          CHECK(rate.value == 2_TBps);
          CHECK(rate.source == "sheet");
          CHECK(rate.basis == Basis::datasheet);
          Reader peak = reader.child("peak");
          const auto bf16 = peak.get<Sourced<FlopsPerSecond>>("bf16");
          CHECK(bf16.source == "sheet");
          CHECK(bf16.basis == Basis::measured);
          Reader deep = peak.child("deep");
          const Sourced<double> share = deep.fraction("share", 0.0, 1.0);
          CHECK(share.value == 0.5);
          CHECK(share.source == "paper");
          CHECK(share.basis == Basis::measured);
          deep.finish();
          peak.finish();
          reader.finish();
        }) == "no error");
}

TEST_CASE("a number in braces carries its own origin", "[config]") {
  const std::string text =
      "source = \"sheet\"\n"
      "launch = { value = \"4 us\", source = \"paper\", basis = \"fitted\" }\n";
  const auto launch =
      result(text, [](Reader& reader) { return reader.get<Sourced<Seconds>>("launch"); });
  CHECK(launch.value == 4_us);
  CHECK(launch.source == "paper");
  CHECK(launch.basis == Basis::fitted);
}

TEST_CASE("elements of an array of tables inherit and are numbered in error paths", "[config]") {
  const std::string text =
      "source = \"sheet\"\n[[levels]]\nrate = \"1 GB/s\"\n[[levels]]\nrate = \"2 GB/s\"\n";
  CHECK(mistakes(text, [](Reader& reader) {
          std::vector<Reader> levels = reader.children("levels");
          REQUIRE(levels.size() == 2);
          CHECK(levels[1].path() == "levels[1]");
          CHECK(levels[1].get<Sourced<BytesPerSecond>>("rate").source == "sheet");
        }) == "no error");
}

TEST_CASE("the keys of a table can be listed in order and tested", "[config]") {
  CHECK(mistakes("z = 1\na = 2\n", [](Reader& reader) {
          CHECK(reader.keys() == std::vector<std::string>{"z", "a"});
          CHECK(reader.has("z"));
          CHECK(!reader.has("b"));
          reader.ignore("z");
          reader.ignore("a");
          reader.finish();
        }) == "no error");
}

TEST_CASE("a key that was only tested counts as unread", "[config]") {
  CHECK(mistakes("ab = 1\n", [](Reader& reader) {
          CHECK(reader.has("ab"));
          reader.finish();
        }) != "no error");
}

TEST_CASE("after a mistake a number is 1, so that callers may divide by it", "[config]") {
  (void)mistakes("a = \"x\"\n", [](Reader& reader) {
    CHECK(reader.get<std::int64_t>("a") == 1);
    CHECK(reader.get<Bytes>("missing") == Bytes(1));
    CHECK(reader.get<Sourced<double>>("missing").value == 1.0);
    CHECK(reader.count("a", {4, 8}) == 4);
    CHECK(reader.choice<Recomputation>("a", kRecomputations) == Recomputation::none);
    CHECK(reader.get<std::string>("missing").empty());
  });
}

TEST_CASE("every basis has a word", "[config]") {
  CHECK(name_of(Basis::datasheet) == "datasheet");
  CHECK(name_of(Basis::measured) == "measured");
  CHECK(name_of(Basis::fitted) == "fitted");
  CHECK(name_of(Basis::transferred) == "transferred");
  CHECK(name_of(Basis::assumed) == "assumed");
}

TEST_CASE("diagnostics start afresh once they are thrown", "[config]") {
  Diagnostics diagnostics;
  CHECK(diagnostics.empty());
  CHECK_NOTHROW(diagnostics.throw_if_any());
  diagnostics.add({}, "key", "wrong");
  CHECK(diagnostics.size() == 1);
  CHECK_THROWS_AS(diagnostics.throw_if_any(), ConfigError);
  CHECK(diagnostics.empty());
}

}  // namespace
}  // namespace foretrain::config
