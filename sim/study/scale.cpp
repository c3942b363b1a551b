// SPDX-License-Identifier: Apache-2.0
#include "sim/study/scale.hpp"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "sim/study/workers.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::json;

// What a worker sends home.
std::string pack_point(const ScalePoint& point) {
  return Json{{"nodes", point.nodes},
              {"gpus", point.gpus},
              {"step", point.step_time.value},
              {"tokens", point.tokens_per_second},
              {"fits", point.fits},
              {"memory", point.memory_use},
              {"shares", point.shares},
              {"refusal", point.refusal}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

ScalePoint unpack_point(const std::optional<std::string>& text) {
  ScalePoint point;
  if (!text) {
    point.refusal = "the worker process died";
    return point;
  }
  const Json json = Json::parse(*text);
  point.nodes = json["nodes"];
  point.gpus = json["gpus"];
  point.step_time = Seconds(json["step"].get<double>());
  point.tokens_per_second = json["tokens"];
  point.fits = json["fits"];
  point.memory_use = json["memory"];
  point.shares = json["shares"].get<std::vector<std::pair<std::string, double>>>();
  point.refusal = json["refusal"];
  return point;
}

double share_of(const ScalePoint& point, const std::string& cause) {
  for (const auto& [name, share] : point.shares) {
    if (name == cause) {
      return share;
    }
  }
  return 0;
}

// The cause, computing itself apart, whose share has grown most since `first`.
std::string limit_of(const ScalePoint& point, const ScalePoint& first) {
  std::string limit = "compute";
  double most = 1e-3;  // a tenth of a per cent of the step is no limit
  for (const auto& [name, share] : point.shares) {
    const double growth = share - share_of(first, name);
    if (name != "compute" && growth > most) {
      most = growth;
      limit = name;
    }
  }
  return limit;
}

[[noreturn]] void refuse_nodes(const std::string& text) {
  throw ConfigError({Diagnostic{
      "--nodes", 1, 1, "",
      "expected node counts such as \"1,2,4\" or \"2..64\" (doubling), got \"" + text + "\"", ""}});
}

std::int64_t parse_number(std::string_view part, const std::string& whole) {
  constexpr std::int64_t kMost = 1'000'000;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc() || end != part.data() + part.size() || number < 1 || number > kMost) {
    refuse_nodes(whole);
  }
  return number;
}

}  // namespace

ScalePoint scale_point(const Prediction& prediction) {
  ScalePoint point;
  point.gpus = static_cast<std::int64_t>(prediction.num_gpus);
  point.step_time = prediction.step_time.seconds();
  point.tokens_per_second = prediction.tokens_per_second;
  point.fits = prediction.fits();
  if (!prediction.memory.empty()) {
    point.memory_use = fullest_role(prediction.memory).used_share();
  }
  const Breakdown& parts = prediction.breakdown;
  const Seconds computing = parts.compute.seconds() + parts.recompute.seconds();
  point.shares = {{"compute", computing / parts.step.seconds()}};
  for (StepShare& share : overheads(parts)) {
    point.shares.push_back(std::move(share));
  }
  return point;
}

std::vector<ScaleRow> judge(const std::vector<ScalePoint>& points, double threshold) {
  const ScalePoint* first = nullptr;
  bool has_knee = false;
  std::vector<ScaleRow> rows;
  for (const ScalePoint& point : points) {
    ScaleRow& row = rows.emplace_back();
    row.point = point;
    if (!point.is_valid()) {
      continue;
    }
    if (first == nullptr) {
      first = &point;
    }
    row.efficiency = point.tokens_per_second_per_gpu() / first->tokens_per_second_per_gpu();
    row.limit = &point == first ? "-" : limit_of(point, *first);
    row.is_knee = !has_knee && row.efficiency < threshold;
    has_knee = has_knee || row.is_knee;
  }
  return rows;
}

std::vector<ScalePoint> predict_in_workers(std::size_t count, std::size_t jobs,
                                           const std::function<ScalePoint(std::size_t)>& predict,
                                           const WorkersProgress& progress) {
  const auto texts = run_in_workers(
      count, jobs, [&](std::size_t i) { return pack_point(predict(i)); }, progress);
  std::vector<ScalePoint> points;
  points.reserve(texts.size());
  for (const auto& text : texts) {
    points.push_back(unpack_point(text));
  }
  return points;
}

std::vector<ScalePoint> scale(const std::vector<std::int64_t>& nodes, std::size_t jobs,
                              const std::function<ScalePoint(std::int64_t)>& predict,
                              const WorkersProgress& progress) {
  std::vector<ScalePoint> points = predict_in_workers(
      nodes.size(), jobs, [&](std::size_t i) { return predict(nodes[i]); }, progress);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    points[i].nodes = nodes[i];
  }
  return points;
}

std::vector<std::int64_t> parse_nodes(const std::string& text) {
  std::vector<std::int64_t> nodes;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = std::string_view(text).substr(begin, end - begin);
    if (const auto dots = part.find(".."); dots != std::string_view::npos) {
      const std::int64_t last = parse_number(part.substr(dots + 2), text);
      for (std::int64_t n = parse_number(part.substr(0, dots), text); n <= last; n *= 2) {
        nodes.push_back(n);
      }
    } else {
      nodes.push_back(parse_number(part, text));
    }
    begin = end + 1;
  }
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  if (nodes.empty()) {
    refuse_nodes(text);
  }
  return nodes;
}

}  // namespace foretrain
