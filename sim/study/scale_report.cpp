// The table of a scaling study as text, JSON and CSV.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/core/csv.hpp"
#include "sim/study/elasticity.hpp"
#include "sim/study/scale.hpp"

namespace foretrain {
namespace {

nlohmann::ordered_json json_of(const Elasticities& next) {
  nlohmann::ordered_json json = {{"nodes", next.base.nodes}, {"gpus", next.base.gpus}};
  if (!next.base.is_valid()) {
    json["refused"] = next.base.refusal;
    return json;
  }
  json["step_time_s"] = next.base.step_time.value;
  json["changes"] = nlohmann::ordered_json::array();
  for (const Elasticity& row : next.rows) {
    nlohmann::ordered_json out = {{"what_if", row.what_if}};
    if (row.is_valid()) {
      out["step_time_s"] = row.step_time.value;
      out["change"] = row.change;
      out["elasticity"] = row.elasticity;
      if (!row.possible.empty()) {
        out["possible"] = row.possible;
      }
    } else {
      out["refused"] = row.refusal;
    }
    json["changes"].push_back(out);
  }
  return json;
}

}  // namespace

std::string scale_text(const std::vector<ScaleRow>& rows, double threshold) {
  std::string text = fmt::format("{:>6} {:>7} {:>11} {:>13} {:>10}  {}\n", "nodes", "GPUs",
                                 "step_s", "tokens/s/GPU", "efficiency", "limiting resource");
  bool has_knee = false;
  for (const ScaleRow& row : rows) {
    const ScalePoint& point = row.point;
    if (!point.is_valid()) {
      text += fmt::format("{:>6} {:>7}  {}\n", point.nodes, point.gpus, point.refusal);
      continue;
    }
    text += fmt::format("{:>6} {:>7} {:>11.4f} {:>13.1f} {:>8.1f} %  {}", point.nodes, point.gpus,
                        point.step_time.value, point.tokens_per_second_per_gpu(),
                        100 * row.efficiency, row.limit);
    if (row.is_knee) {
      text += fmt::format("   <- knee (efficiency < {:.0f} %)", 100 * threshold);
      has_knee = true;
    }
    text += point.fits ? "\n" : "   does not fit in memory\n";
  }
  if (!has_knee) {
    text += fmt::format("no knee: efficiency stays at or above {:.0f} %\n", 100 * threshold);
  }
  return text;
}

std::string scale_json(const std::vector<ScaleRow>& rows, double threshold,
                       const Elasticities* next) {
  nlohmann::ordered_json json = {{"threshold", threshold}, {"points", nlohmann::json::array()}};
  for (const ScaleRow& row : rows) {
    const ScalePoint& point = row.point;
    nlohmann::ordered_json out = {{"nodes", point.nodes}, {"gpus", point.gpus}};
    if (point.is_valid()) {
      nlohmann::ordered_json shares = nlohmann::ordered_json::object();
      for (const auto& [cause, share] : point.shares) {
        shares[cause] = share;
      }
      out["step_time_s"] = point.step_time.value;
      out["tokens_per_s"] = point.tokens_per_second;
      out["tokens_per_s_per_gpu"] = point.tokens_per_second_per_gpu();
      out["efficiency"] = row.efficiency;
      out["limiting_resource"] = row.limit;
      out["is_knee"] = row.is_knee;
      out["fits"] = point.fits;
      out["shares"] = shares;
    } else {
      out["refused"] = point.refusal;
    }
    json["points"].push_back(out);
  }
  if (next != nullptr) {
    json["elasticities"] = json_of(*next);
  }
  return json.dump(2) + "\n";
}

std::string scale_csv(const std::vector<ScaleRow>& rows) {
  std::string text =
      "nodes,gpus,step_time_s,tokens_per_s_per_gpu,efficiency,limiting_resource,knee,fits,"
      "refused\n";
  for (const ScaleRow& row : rows) {
    const ScalePoint& point = row.point;
    if (point.is_valid()) {
      text += fmt::format("{},{},{},{},{},{},{},{},\n", point.nodes, point.gpus,
                          point.step_time.value, point.tokens_per_second_per_gpu(), row.efficiency,
                          row.limit, row.is_knee ? 1 : 0, point.fits ? 1 : 0);
    } else {
      text += fmt::format("{},{},,,,,,,{}\n", point.nodes, point.gpus, csv_cell(point.refusal));
    }
  }
  return text;
}

std::string elasticities_csv(const Elasticities& next) {
  std::string text = "nodes,gpus,what_if,hardware,step_time_s,change,elasticity,possible,refused\n";
  const std::string size = fmt::format("{},{}", next.base.nodes, next.base.gpus);
  if (!next.base.is_valid()) {
    return text + fmt::format("{},,,,,,,{}\n", size, csv_cell(next.base.refusal));
  }
  text += fmt::format("{},,as it is,{},0,,,\n", size, next.base.step_time.value);
  for (const Elasticity& row : next.rows) {
    const std::string numbers =
        row.is_valid() ? fmt::format("{},{},{}", row.step_time.value, row.change, row.elasticity)
                       : ",,";
    text += fmt::format("{},{},{},{},{},{}\n", size, csv_cell(row.what_if),
                        csv_cell(row.is_valid() ? row.words : row.number), numbers,
                        csv_cell(row.possible), csv_cell(row.refusal));
  }
  return text;
}

}  // namespace foretrain
