// The verdict as one JSON object: errors as fractions, times in seconds, sizes in bytes.
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "validation/verdict.hpp"

namespace foretrain::validation {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const ErrorSummary& errors) {
  return {{"count", errors.count},
          {"mape", errors.mean_absolute},
          {"median", errors.median_absolute},
          {"p90", errors.p90_absolute},
          {"bias", errors.bias},
          {"worst", errors.worst}};
}

Json json_of(const SourceVerdict& source) {
  Json json = {{"source", source.group},
               {"time", json_of(source.time)},
               {"naive", json_of(source.naive)},
               {"allocator_memory", json_of(source.allocator_memory)},
               {"device_memory", json_of(source.device_memory)},
               {"fits",
                {{"right", source.fit.right},
                 {"wrong", source.fit.wrong},
                 {"uncertain", source.fit.uncertain},
                 {"out_of_memory", source.fit.out_of_memory}}}};
  if (!source.fitted.empty()) {
    json["fitted"] = source.fitted;
  }
  if (source.sweeps > 0) {
    json["kendall_tau"] = source.mean_tau;
    json["regret"] = source.mean_regret;
  }
  return json;
}

Json json_of(const SweepVerdict& sweep) {
  Json json = {{"source", sweep.group}, {"sweep", sweep.sweep}, {"layouts", sweep.layouts}};
  json["kendall_tau"] = sweep.tau ? Json(*sweep.tau) : Json(nullptr);
  json["regret"] = sweep.regret;
  return json;
}

}  // namespace

std::string verdict_json(const std::vector<Outcome>& outcomes, const Verdict& verdict) {
  Json json = {{"all", json_of(verdict.all)}};
  json["all"].erase("source");
  json["sources"] = Json::array();
  for (const SourceVerdict& source : verdict.sources) {
    json["sources"].push_back(json_of(source));
  }
  json["sweeps"] = Json::array();
  for (const SweepVerdict& sweep : verdict.sweeps) {
    json["sweeps"].push_back(json_of(sweep));
  }
  json["not_predicted"] = Json::array();
  for (const auto& [reason, count] : verdict.refusals) {
    json["not_predicted"].push_back({{"reason", reason}, {"count", count}});
  }
  json["cases"] = Json::array();
  for (const Outcome& outcome : outcomes) {
    json["cases"].push_back(Json::parse(to_json_line(outcome)));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace foretrain::validation
