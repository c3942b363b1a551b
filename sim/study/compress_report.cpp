// The tables of a compression study as text, JSON and CSV, and between processes.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/config/quantity.hpp"
#include "sim/core/csv.hpp"
#include "sim/core/error.hpp"
#include "sim/study/compress.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The point without compression at the same rate; null when that could not be.
const CompressPoint* plain_of(const CompressStudy& study, const CompressPoint& point) {
  for (const CompressPoint& other : study.points) {
    if (other.method == "none" && other.rate == point.rate && other.is_valid()) {
      return &other;
    }
  }
  return nullptr;
}

double speed_up(const CompressStudy& study, const CompressPoint& point) {
  const CompressPoint* plain = plain_of(study, point);
  return plain == nullptr ? 1 : plain->step_time / point.step_time;
}

std::string_view word(BreakEven::Kind kind) {
  switch (kind) {
    case BreakEven::Kind::at:
      return "at";
    case BreakEven::Kind::always:
      return "always";
    case BreakEven::Kind::never:
      return "never";
    case BreakEven::Kind::unknown:
      return "unknown";
  }
  throw InternalError("a break-even that nobody named");
}

BreakEven::Kind kind_of(std::string_view text) {
  for (const auto kind : {BreakEven::Kind::at, BreakEven::Kind::always, BreakEven::Kind::never}) {
    if (word(kind) == text) {
      return kind;
    }
  }
  return BreakEven::Kind::unknown;
}

std::string pays(const BreakEven& found) {
  switch (found.kind) {
    case BreakEven::Kind::at:
      return "below " + config::show(found.simulated);
    case BreakEven::Kind::always:
      return "at every rate";
    case BreakEven::Kind::never:
      return "at no rate";
    case BreakEven::Kind::unknown:
      return "-";
  }
  throw InternalError("a break-even that nobody named");
}

}  // namespace

std::string compress_text(const CompressStudy& study) {
  std::string text =
      fmt::format("{:>10}  {:<12} {:>10} {:>9} {:>14} {:>9} {:>10}\n", "per NIC", "method",
                  "step_s", "speed-up", "GB/GPU to nodes", "codec_s", "exposed_s");
  for (const CompressPoint& point : study.points) {
    text += fmt::format("{:>10}  {:<12} ", config::show(point.rate), point.method);
    if (!point.is_valid()) {
      text += point.refusal + "\n";
      continue;
    }
    text += fmt::format("{:>10.4f} {:>8.3f}x {:>15.4f} {:>9.4f} {:>10.4f}{}\n",
                        point.step_time.value, speed_up(study, point),
                        point.sent_between_nodes.value * 1e-9, point.codec.value,
                        point.exposed.value, point.fits ? "" : "  does not fit in memory");
  }
  if (!study.break_evens.empty()) {
    text += fmt::format("\n{:<12} {:<20} {}\n", "method", "pays, per NIC",
                        "closed form, without overlap and latency");
  }
  for (const BreakEven& found : study.break_evens) {
    text += fmt::format(
        "{:<12} {:<20} {}\n", found.method, pays(found),
        found.closed_form > BytesPerSecond(0) ? "below " + config::show(found.closed_form) : "-");
  }
  return text;
}

std::string compress_json(const CompressStudy& study) {
  Json json = {{"points", Json::array()}, {"break_even", Json::array()}};
  for (const CompressPoint& point : study.points) {
    Json out = {{"method", point.method}, {"nic_bytes_per_s", point.rate.value}};
    if (point.is_valid()) {
      out["step_time_s"] = point.step_time.value;
      out["speed_up"] = speed_up(study, point);
      out["bytes_between_nodes_per_gpu"] = point.sent_between_nodes.value;
      out["codec_s"] = point.codec.value;
      out["exposed_s"] = point.exposed.value;
      out["fits"] = point.fits;
    } else {
      out["refused"] = point.refusal;
    }
    json["points"].push_back(out);
  }
  for (const BreakEven& found : study.break_evens) {
    Json out = {{"method", found.method}, {"pays", word(found.kind)}};
    if (found.kind == BreakEven::Kind::at) {
      out["below_nic_bytes_per_s"] = found.simulated.value;
    }
    if (found.closed_form > BytesPerSecond(0)) {
      out["closed_form_nic_bytes_per_s"] = found.closed_form.value;
    }
    json["break_even"].push_back(out);
  }
  return json.dump(2) + "\n";
}

std::string compress_csv(const CompressStudy& study) {
  std::string text =
      "method,nic_bytes_per_s,step_time_s,speed_up,bytes_between_nodes_per_gpu,codec_s,exposed_s,"
      "fits,refused\n";
  for (const CompressPoint& point : study.points) {
    text += fmt::format("{},{},", point.method, point.rate.value);
    text += point.is_valid()
                ? fmt::format("{},{},{},{},{},{},\n", point.step_time.value, speed_up(study, point),
                              point.sent_between_nodes.value, point.codec.value,
                              point.exposed.value, point.fits ? 1 : 0)
                : fmt::format(",,,,,,{}\n", csv_cell(point.refusal));
  }
  return text;
}

std::string pack(const CompressPoint& point) {
  return dump({{"method", point.method},
               {"rate", point.rate.value},
               {"step", point.step_time.value},
               {"sent", point.sent_between_nodes.value},
               {"codec", point.codec.value},
               {"exposed", point.exposed.value},
               {"fits", point.fits},
               {"refusal", point.refusal}});
}

CompressPoint unpack_point(const std::optional<std::string>& text) {
  CompressPoint point;
  if (!text) {
    point.refusal = "the worker process died";
    return point;
  }
  const Json json = Json::parse(*text);
  point.method = json["method"];
  point.rate = BytesPerSecond(json["rate"].get<double>());
  point.step_time = Seconds(json["step"].get<double>());
  point.sent_between_nodes = Bytes(json["sent"].get<double>());
  point.codec = Seconds(json["codec"].get<double>());
  point.exposed = Seconds(json["exposed"].get<double>());
  point.fits = json["fits"];
  point.refusal = json["refusal"];
  return point;
}

std::string pack(const BreakEven& break_even) {
  return dump({{"method", break_even.method},
               {"kind", word(break_even.kind)},
               {"simulated", break_even.simulated.value},
               {"closed", break_even.closed_form.value}});
}

BreakEven unpack_break_even(const std::optional<std::string>& text) {
  BreakEven found;
  if (text) {
    const Json json = Json::parse(*text);
    found.method = json["method"];
    found.kind = kind_of(json["kind"].get<std::string>());
    found.simulated = BytesPerSecond(json["simulated"].get<double>());
    found.closed_form = BytesPerSecond(json["closed"].get<double>());
  }
  return found;
}

}  // namespace foretrain
