// The report for programs: one JSON object, or a line of CSV for each setting.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "validation/live/report.hpp"

namespace foretrain::live {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
Json or_null(const std::optional<BytesPerSecond>& rate) {
  return rate ? Json(rate->value) : Json(nullptr);
}

std::string_view name_of(Straggler straggler) {
  return straggler == Straggler::half ? "half of rank 1's core" : "none";
}

Json json_of(const LiveResult& result) {
  const Setting& setting = result.setting;
  Json json = {{"setting", setting.id()},
               {"model", setting.model->name},
               {"strategy", setting.strategy->name},
               {"rate", setting.rate.value},
               {"straggler", name_of(setting.straggler)},
               {"predicted", result.predicted.value}};
  if (!result.measured) {
    json["failure"] = result.failure;
    return json;
  }
  json["measured"] = result.measured->median.value;
  json["fastest"] = result.measured->fastest.value;
  json["slowest"] = result.measured->slowest.value;
  json["repeats"] = result.measured->repeats;
  json["error"] = result.error();
  return json;
}

Json json_of(const LiveErrors& errors) {
  return {{"count", errors.times.count},
          {"mape", errors.times.mean_absolute},
          {"median", errors.times.median_absolute},
          {"bias", errors.times.bias},
          {"worst", errors.times.worst},
          {"spread", errors.mean_spread},
          {"kendall_tau", or_null(errors.tau)}};
}

}  // namespace

std::string json_of(const LiveReport& report) {
  Json json = {{"hardware", report.hardware},
               {"communication", report.communication},
               {"all", json_of(report.errors())}};
  json["rates"] = Json::array();
  for (const BytesPerSecond rate : report.rates()) {
    Json one = {{"rate", rate.value}};
    one.update(json_of(report.errors(rate)));
    json["rates"].push_back(std::move(one));
  }
  json["break_even"] = Json::array();
  for (const BreakEven& one : report.break_evens) {
    json["break_even"].push_back({{"model", one.model},
                                  {"measured", or_null(one.measured)},
                                  {"predicted", or_null(one.predicted)},
                                  {"error", or_null(one.error())}});
  }
  json["settings"] = Json::array();
  for (const LiveResult& result : report.results) {
    json["settings"].push_back(json_of(result));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string csv_of(const LiveReport& report) {
  std::string text =
      "model,strategy,rate_Mbps,straggler,measured_s,fastest_s,slowest_s,repeats,predicted_s,"
      "error\n";
  for (const LiveResult& result : report.results) {
    const Setting& setting = result.setting;
    const std::string measured =
        result.measured ? fmt::format("{:.6g},{:.6g},{:.6g},{}", result.measured->median.value,
                                      result.measured->fastest.value,
                                      result.measured->slowest.value, result.measured->repeats)
                        : ",,,";
    text += fmt::format("{},{},{:g},{},{},{:.6g},{}\n", setting.model->name, setting.strategy->name,
                        setting.rate.value * 8 / 1e6, name_of(setting.straggler), measured,
                        result.predicted.value,
                        result.measured ? fmt::format("{:.4f}", result.error()) : "");
  }
  return text;
}

}  // namespace foretrain::live
