// Money, power and calendar time as people write them.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/amounts.hpp"

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

TEST_CASE("amounts are a number and a unit", "[study]") {
  CHECK(parse_money("$2M") == 2e6);
  CHECK(parse_money("$1.5 k") == 1500);
  CHECK(parse_money("$900") == 900);
  CHECK(parse_hourly_price("$2.5/h") == 2.5);
  CHECK(parse_period("30 d")->value == 30.0 * 86400);
  CHECK(parse_period("2w")->value == 14.0 * 86400);
  CHECK(parse_period("12 h")->value == 12.0 * 3600);
  CHECK(parse_power("700 W") == 700);
  CHECK(parse_power("1.2 kW") == 1200);
  CHECK(parse_grid("370 g/kWh") == 370);
  CHECK(parse_grid("0.37 kg/kWh") == 370);
}

TEST_CASE("amounts without their unit, or below zero, are none", "[study]") {
  for (const char* text : {"", "2", "2M", "$", "$-1", "$2 MM", "$2.5/h", "EUR 3", "$1e999"}) {
    CHECK_FALSE(parse_money(text));
  }
  for (const char* text : {"2.5", "$2.5", "2.5/h", "$/h", "$2.5 per hour"}) {
    CHECK_FALSE(parse_hourly_price(text));
  }
  for (const char* text : {"", "30", "d", "30 dd", "-1 d", "nan d", "30 W"}) {
    CHECK_FALSE(parse_period(text));
  }
  CHECK_FALSE(parse_power("700"));
  CHECK_FALSE(parse_grid("370"));
}

TEST_CASE("amounts are shown in three digits", "[study]") {
  CHECK(show_money(1'234'567) == "$1.23 M");
  CHECK(show_money(12'300) == "$12.3 k");
  CHECK(show_money(2.5e9) == "$2.5 G");
  CHECK(show_money(7) == "$7");
  CHECK(show_period(Seconds(3600)) == "1 h");
  CHECK(show_period(Seconds(27.64 * 86400)) == "27.6 d");
  CHECK(show_period(Seconds(512.0 * 86400)) == "512 d");
}

TEST_CASE("an option that cannot be read says what was expected", "[study]") {
  try {
    static_cast<void>(amount_of<double>("--budget", "2M", parse_money, "a sum such as \"$2M\""));
    FAIL("was read");
  } catch (const ConfigError& error) {
    CHECK(std::string(error.what()) == "--budget:1:1: expected a sum such as \"$2M\", got \"2M\"");
  }
}

}  // namespace
}  // namespace foretrain::testing
