// SPDX-License-Identifier: Apache-2.0
// What a list of measured and predicted steps comes to, for people and for programs.
#include "validation/live/report.hpp"

#include <nlohmann/json.hpp>

#include "tests/support/catch.hpp"

namespace foretrain::live {
namespace {

LiveResult result(const std::string& strategy, double megabytes, double measured, double predicted,
                  Straggler straggler = Straggler::none) {
  LiveResult one;
  one.setting = {&live_models().front(), &live_strategy(strategy), BytesPerSecond(megabytes * 1e6),
                 straggler};
  one.predicted = Seconds(predicted);
  one.measured = StepMeasurement{
      Seconds(measured), Seconds(0.95 * measured), Seconds(1.05 * measured), 5, "", ""};
  return one;
}

/// Errors of +10 % and -20 % at 25 MB/s, 0 and +10 % at 250 MB/s.
LiveReport sample() {
  LiveReport report;
  report.hardware = "two cores";
  report.communication = "Gloo";
  report.results = {result("ddp", 25, 1.0, 1.1), result("ddp-int8", 25, 0.5, 0.4),
                    result("ddp", 250, 0.4, 0.4), result("ddp-int8", 250, 0.5, 0.55),
                    result("ddp", 250, 1.0, 2.0, Straggler::half)};
  report.break_evens = break_evens_of(report.results);
  return report;
}

}  // namespace

TEST_CASE("errors are over all settings, and over those of one rate, without stragglers",
          "[live]") {
  const LiveReport report = sample();
  CHECK(report.errors().times.count == 4);
  CHECK(report.errors().times.mean_absolute == Catch::Approx(0.1));
  CHECK(report.errors().times.worst == Catch::Approx(-0.2));
  CHECK(report.errors().mean_spread == Catch::Approx(0.1));
  CHECK(report.errors(BytesPerSecond(25e6)).times.mean_absolute == Catch::Approx(0.15));
  CHECK(report.errors(BytesPerSecond(250e6)).tau.value() == Catch::Approx(1));
  CHECK(report.rates() == std::vector{BytesPerSecond(25e6), BytesPerSecond(250e6)});
}

TEST_CASE("the break-even rate is told as measured and as predicted", "[live]") {
  const LiveReport report = sample();
  REQUIRE(report.break_evens.size() == 1);
  // Of log(int8 / plain): measured log 0.5 to log 1.25, predicted log 0.3636 to log 1.375.
  const auto crossing = [](double before, double after) {
    return 25e6 * std::pow(10, std::log(before) / (std::log(before) - std::log(after)));
  };
  const BreakEven& one = report.break_evens.front();
  CHECK(one.measured->value == Catch::Approx(crossing(0.5, 1.25)));
  CHECK(one.predicted->value == Catch::Approx(crossing(0.4 / 1.1, 1.375)));
  CHECK(*one.error() == Catch::Approx(*one.predicted / *one.measured - 1));
}

TEST_CASE("the text has a line for each setting, rate and straggler", "[live]") {
  const std::string text = text_of(sample());
  using Catch::Contains;
  CHECK_THAT(text, Contains("small ddp 200Mbit                       1000.0 ms      10.0    "
                            "1100.0 ms     +10.0"));
  CHECK_THAT(text, Contains("2000Mbit        2      5.0"));
  CHECK_THAT(text, Contains("small ddp 2000Mbit straggler            1000.0 ms      10.0    "
                            "2000.0 ms    +100.0"));
  CHECK_THAT(text, Contains("int8 gradients pay up to a link rate of\n  small        measured"));
}

TEST_CASE("a setting that failed is told, and counts in no error", "[live]") {
  LiveReport report = sample();
  report.results[1].measured.reset();
  report.results[1].failure = "no memory";
  CHECK(report.has_failure());
  CHECK(report.errors().times.count == 3);
  CHECK(break_evens_of(report.results).empty());  // one pair is none to interpolate
  CHECK_THAT(text_of(report), Catch::Contains("small ddp-int8 200Mbit: no memory"));
  const auto json = nlohmann::json::parse(json_of(report));
  CHECK(json.at("settings").at(1).at("failure") == "no memory");
  CHECK_FALSE(json.at("settings").at(1).contains("measured"));
}

TEST_CASE("programs get the same numbers in base units", "[live]") {
  const auto json = nlohmann::json::parse(json_of(sample()));
  CHECK(json.at("all").at("mape") == Catch::Approx(0.1));
  CHECK(json.at("rates").at(0).at("rate") == Catch::Approx(25e6));
  CHECK(json.at("settings").at(0).at("measured") == Catch::Approx(1.0));
  CHECK(json.at("settings").at(0).at("error") == Catch::Approx(0.1));
  CHECK(json.at("break_even").size() == 1);
  CHECK_THAT(csv_of(sample()), Catch::Contains("small,ddp-int8,200,none,0.5,0.475,0.525,5,0.4,"
                                               "-0.2000\n"));
}

}  // namespace foretrain::live
