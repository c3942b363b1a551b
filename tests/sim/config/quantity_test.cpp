// Every unit of the grammar, what is no quantity and why, and how quantities are printed.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/quantity.hpp"

#include <clocale>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

template <class Q>
using Meanings = std::vector<std::pair<std::string, double>>;

template <class Q>
void check(const Meanings<Q>& meanings) {
  for (const auto& [text, base_units] : meanings) {
    CAPTURE(text);
    CHECK(parse_quantity<Q>(text) == Q(base_units));
  }
}

TEST_CASE("sizes are bytes with decimal or binary prefixes", "[config]") {
  check<Bytes>({{"3 B", 3},
                {"3 kB", 3e3},
                {"3 MB", 3e6},
                {"80 GB", 80e9},
                {"1.5 TB", 1.5e12},
                {"1 KiB", 1024},
                {"1 MiB", 1048576},
                {"1 GiB", 1073741824},
                {"1 TiB", 1099511627776}});
}

TEST_CASE("rates are bytes or, with a lower-case b, bits each second", "[config]") {
  check<BytesPerSecond>({{"7 B/s", 7},
                         {"7 kB/s", 7e3},
                         {"7 MB/s", 7e6},
                         {"450 GB/s", 450e9},
                         {"2 TB/s", 2e12},
                         {"1 KiB/s", 1024},
                         {"1 MiB/s", 1048576},
                         {"1 GiB/s", 1073741824},
                         {"1 TiB/s", 1099511627776},
                         {"8 b/s", 1},
                         {"8 kb/s", 1e3},
                         {"8 Mb/s", 1e6},
                         {"400 Gb/s", 50e9},
                         {"1.6 Tb/s", 200e9}});
}

TEST_CASE("times go from nanoseconds to days", "[config]") {
  check<Seconds>({{"2 ns", 2 * 1e-9},
                  {"5 us", 5 * 1e-6},
                  {"4 ms", 4 * 1e-3},
                  {"13.75 s", 13.75},
                  {"2 min", 120},
                  {"3 h", 10800},
                  {"54 d", 4665600}});
}

TEST_CASE("work is FLOP and a compute rate FLOP/s, from kilo to exa", "[config]") {
  check<Flops>({{"2 FLOP", 2},
                {"2 kFLOP", 2e3},
                {"2 MFLOP", 2e6},
                {"2 GFLOP", 2e9},
                {"2 TFLOP", 2e12},
                {"2 PFLOP", 2e15},
                {"2 EFLOP", 2e18}});
  check<FlopsPerSecond>({{"2 FLOP/s", 2},
                         {"2 kFLOP/s", 2e3},
                         {"2 MFLOP/s", 2e6},
                         {"2 GFLOP/s", 2e9},
                         {"989 TFLOP/s", 989e12},
                         {"2 PFLOP/s", 2e15},
                         {"2 EFLOP/s", 2e18}});
}

TEST_CASE("frequencies are hertz", "[config]") {
  check<Hertz>({{"2 Hz", 2}, {"2 kHz", 2e3}, {"2 MHz", 2e6}, {"1.5 GHz", 1.5e9}});
}

TEST_CASE("the space is optional and the number may have an exponent", "[config]") {
  check<Bytes>({{"80GB", 80e9}, {"1e3 B", 1e3}, {"1.5e-1 kB", 0.15 * 1e3}, {"0 B", 0}});
  // The E of EFLOP is no exponent.
  check<Flops>({{"5EFLOP", 5e18}, {"5e2EFLOP", 500e18}});
}

TEST_CASE("a quantity means what the literal in the code means", "[config]") {
  CHECK(parse_quantity<BytesPerSecond>("3.35 TB/s") == 3.35_TBps);
  CHECK(parse_quantity<BytesPerSecond>("400 Gb/s") == 400_Gbps);
  CHECK(parse_quantity<Seconds>("4.2 us") == 4.2_us);
  CHECK(parse_quantity<FlopsPerSecond>("312 TFLOP/s") == 312_TFLOPs);
}

TEST_CASE("a text that is not wholly a quantity is none, and the reason is told", "[config]") {
  const std::vector<std::pair<std::string, std::string>> reasons = {
      {"", "not a number with a unit"},
      {"GB/s", "not a number with a unit"},
      {"fast", "not a number with a unit"},
      {" 1 GB/s", "not a number with a unit"},
      {"+1 GB/s", "not a number with a unit"},
      {".5 GB/s", "not a number with a unit"},
      {"5. GB/s", "not a number with a unit"},
      {"5 ", "not a number with a unit"},
      {"nan GB/s", "not a number with a unit"},
      {"inf GB/s", "not a number with a unit"},
      {"1e999 GB/s", "not a number with a unit"},
      {"-1 GB/s", "a negative number"},
      {"1e308 GB/s", "too large"},
      {"3350", "a number without a unit"},
      {"1  GB/s", "unknown unit ' GB/s'; did you mean 'GB/s'?"},
      {"1 GB/s ", "unknown unit 'GB/s '; did you mean 'GB/s'?"},
      {"1 gb/s", "unknown unit 'gb/s'; did you mean 'GB/s' or 'Gb/s'?"},
      {"1 GBps", "unknown unit 'GBps'; did you mean 'GB/s'?"},
      {"1,5 GB/s", "unknown unit ',5 GB/s'"},
      {"0x10 GB/s", "unknown unit 'x10 GB/s'"},
      {"1_000 GB/s", "unknown unit '_000 GB/s'"},
      {"1 parsec", "unknown unit 'parsec'"},
      {"400 GB", "a size, not a rate"},
      {"5 us", "a time, not a rate"},
      {"2 PFLOP", "an amount of work, not a rate"},
      {"989 TFLOP/s", "a compute rate, not a rate"},
      {"1.4 GHz", "a frequency, not a rate"},
  };
  for (const auto& [text, reason] : reasons) {
    CAPTURE(text);
    CHECK(!parse_quantity<BytesPerSecond>(text));
    CHECK(quantity_mistake<BytesPerSecond>(text) == reason);
  }
  CHECK(quantity_mistake<Bytes>("2 GB/s") == "a rate, not a size");
}

TEST_CASE("the example in an error message is itself a quantity", "[config]") {
  CHECK(expected_quantity<Bytes>() == "a size such as \"80 GB\"");
  CHECK(expected_quantity<BytesPerSecond>() == "a rate such as \"3.35 TB/s\"");
  CHECK(expected_quantity<Seconds>() == "a time such as \"5 us\"");
  CHECK(expected_quantity<Flops>() == "an amount of work such as \"2 PFLOP\"");
  CHECK(expected_quantity<FlopsPerSecond>() == "a compute rate such as \"989 TFLOP/s\"");
  CHECK(expected_quantity<Hertz>() == "a frequency such as \"1.4 GHz\"");
}

TEST_CASE("a quantity is shown with three digits and the largest fitting prefix", "[config]") {
  CHECK(show(1.9_TBps) == "1.9 TB/s");
  CHECK(show(80_GB) == "80 GB");
  CHECK(show(Bytes(123456)) == "123 kB");
  CHECK(show(Bytes(1234)) == "1.23 kB");
  CHECK(show(13.754_s) == "13.8 s");
  CHECK(show(90_s) == "1.5 min");
  CHECK(show(Seconds(0.00045)) == "450 us");
  CHECK(show(312_TFLOPs) == "312 TFLOP/s");
  CHECK(show(Flops(3.15e21)) == "3150 EFLOP");
  CHECK(show(400_Gbps) == "50 GB/s");  // always bytes
}

TEST_CASE("a number that rounds up to a thousand takes the next prefix", "[config]") {
  CHECK(show(Bytes(999.4e9)) == "999 GB");
  CHECK(show(Bytes(999.6e9)) == "1 TB");
}

TEST_CASE("zero, tiny and negative quantities can be shown", "[config]") {
  CHECK(show(Seconds(0)) == "0 s");
  CHECK(show(Bytes(0.25)) == "0.25 B");
  CHECK(show(Seconds(2e-12)) == "0.002 ns");
  CHECK(show(Seconds(-0.005)) == "-5 ms");
  CHECK(show(Bytes(2e15)) == "2000 TB");
  CHECK(show(Seconds(std::numeric_limits<double>::infinity())) == "inf");
}

TEST_CASE("counts may have a decimal suffix", "[config]") {
  CHECK(parse_count("472 G") == 472e9);
  CHECK(parse_count("1.5T") == 1.5e12);
  CHECK(parse_count("12") == 12.0);
  CHECK(parse_count("1 k") == 1e3);
  CHECK(parse_count("1 M") == 1e6);
  CHECK(parse_count("1 P") == 1e15);
  CHECK(parse_count("1 E") == 1e18);
  for (const char* const text : {"", "G", "1 GB", "-1", "1 g", "1e300 E", "nan", "1 2"}) {
    CAPTURE(text);
    CHECK(!parse_count(text));
  }
}

TEST_CASE("a locale with decimal commas changes nothing", "[config]") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  // Absent in most containers; then the test holds trivially.
  for (const char* const name : {"de_DE.UTF-8", "fr_FR.UTF-8"}) {
    (void)std::setlocale(LC_ALL, name);
  }
  CHECK(parse_quantity<Seconds>("1.5 s") == 1.5_s);
  CHECK(show(1.5_s) == "1.5 s");
  (void)std::setlocale(LC_ALL, before.c_str());
}

}  // namespace
}  // namespace foretrain::config
