// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/read_reliability.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "sim/study/amounts.hpp"

namespace foretrain::goodput {
namespace {

using config::Alias;
using config::Choice;
using config::Range;
using config::Reader;

constexpr auto kRules = std::to_array<Choice<IntervalRule>>({
    {"young", IntervalRule::young},
    {"daly", IntervalRule::daly},
    {"search", IntervalRule::search},
});

constexpr auto kAliases = std::to_array<Alias>({
    {"gpus", "[reliability.gpu]"},
    {"nodes", "[reliability.node]"},
    {"host", "[reliability.node]"},
    {"links", "[reliability.link]"},
    {"nic", "[reliability.link]"},
    {"checkpoints", "[reliability.checkpoint]"},
    {"spare_nodes", "spares"},
    {"detect", "detection"},
    {"price_per_gpu_hour", "price"},
});
constexpr auto kPartAliases = std::to_array<Alias>({
    {"mttf", "mtbf"},
    {"mean_time", "mtbf"},
    {"rate", "mtbf"},
    {"distribution", "shape"},
    {"weibull", "shape"},
    {"mttr", "repair"},
});
constexpr auto kCheckpointAliases = std::to_array<Alias>({
    {"async", "asynchronous"},
    {"every", "interval"},
    {"rate", "bandwidth"},
    {"write_bandwidth", "bandwidth"},
});

constexpr double kLeastShape = 0.2;  // at 0.2 a mean life is 120 times the median one and more
constexpr double kMostShape = 10;
constexpr double kMostSlowdown = 100;

/// Reads keys over what is there already. In a data file every number has a source.
class Overlay {
 public:
  Overlay(Reader& reader, bool is_data_file) : reader_(reader), is_data_file_(is_data_file) {}

  template <class T>
  std::optional<Sourced<T>> maybe(std::string_view key) {
    if (!reader_.has(key)) {
      return std::nullopt;
    }
    if (is_data_file_ || reader_.is_table(key)) {
      return reader_.get<Sourced<T>>(key);
    }
    return Sourced<T>{reader_.get<T>(key), "the run file", config::Basis::measured};
  }

  template <class T>
  void take(std::string_view key, Sourced<T>& into) {
    if (auto value = maybe<T>(key)) {
      into = std::move(*value);
    }
  }

  void take_positive(std::string_view key, Sourced<Seconds>& into) {
    take(key, into);
    if (reader_.has(key) && into.value <= Seconds(0)) {
      reader_.fail(key, "expected more than zero");
    }
  }

  void take_between(std::string_view key, double least, double most, Sourced<double>& into) {
    take(key, into);
    if (reader_.has(key) && !(into.value >= least && into.value <= most)) {
      reader_.fail(key, fmt::format("expected a number from {} to {}, got {}", show_number(least),
                                    show_number(most), show_number(into.value)));
      into.value = least;
    }
  }

 private:
  Reader& reader_;
  bool is_data_file_;
};

// "never" takes back what a file below says.
void read_mean_time(Reader& reader, Overlay& overlay, PartFailures& part) {
  if (!reader.has("mtbf")) {
    return;
  }
  if (!reader.is_table("mtbf")) {
    const auto text = reader.maybe<std::string>("mtbf");
    if (!text) {
      return;
    }
    if (*text == "never") {
      part.mean_time.reset();
      return;
    }
  }
  Sourced<Seconds> time;
  overlay.take_positive("mtbf", time);
  part.mean_time = time;
}

void read_part(Reader reader, bool is_data_file, PartKind kind, Reliability& into) {
  PartFailures& part = into.parts[static_cast<std::size_t>(kind)];
  Overlay overlay(reader, is_data_file);
  read_mean_time(reader, overlay, part);
  overlay.take_between("shape", kLeastShape, kMostShape, part.shape);
  part.age = reader.get<Seconds>("age", part.age);
  if (const auto detection = overlay.maybe<Seconds>("detection")) {
    part.detection = detection;
  }
  if (const auto repair = overlay.maybe<Seconds>("repair")) {
    part.repair = repair;
  }
  if (kind == PartKind::software && reader.has("repair")) {
    reader.fail("repair", "has no effect: software takes no node out; remove it");
  }
  if (kind == PartKind::network_switch) {
    into.nodes_per_switch = reader.count("nodes", into.nodes_per_switch, Range{0, 1'000'000});
    if (part.mean_time && into.nodes_per_switch < 1) {
      reader.fail("nodes", "expected how many nodes are below one switch");
    }
  }
  if (!part.mean_time) {
    for (const char* key : {"shape", "age", "detection", "repair"}) {
      if (reader.has(key)) {
        reader.fail(key, "has no effect without mtbf; remove it");
      }
    }
  }
  reader.finish(kPartAliases);
}

void read_rate(Reader& reader, Overlay& overlay, const std::string& key, StorageRate& into) {
  const std::string per_node = key + "_per_node";
  if (!reader.has(key) && !reader.has(per_node)) {
    return;
  }
  into.all = overlay.maybe<BytesPerSecond>(key);
  into.per_node = overlay.maybe<BytesPerSecond>(per_node);
  for (const auto& [name, rate] : {std::pair(key, into.all), std::pair(per_node, into.per_node)}) {
    if (rate && rate->value <= BytesPerSecond(0)) {
      reader.fail(name, "expected more than zero");
    }
  }
}

void read_interval(Reader& reader, CheckpointKeys& into) {
  if (!reader.has("interval")) {
    return;
  }
  const auto text = reader.maybe<std::string>("interval");
  if (!text) {
    return;
  }
  const bool is_word = std::none_of(text->begin(), text->end(),
                                    [](char letter) { return letter >= '0' && letter <= '9'; });
  if (is_word) {
    into.rule = reader.choice<IntervalRule>("interval", kRules, into.rule);
    return;
  }
  into.rule = IntervalRule::given;
  into.interval = reader.get<Seconds>("interval");
  if (into.interval <= Seconds(0)) {
    reader.fail("interval", "expected more than zero");
  }
}

void read_checkpoint(Reader reader, bool is_data_file, CheckpointKeys& into) {
  Overlay overlay(reader, is_data_file);
  read_interval(reader, into);
  into.is_asynchronous = reader.get<bool>("asynchronous", into.is_asynchronous);
  overlay.take_between("blocking", 0, 1, into.blocking);
  if (!is_data_file && reader.has("blocking") && !into.is_asynchronous) {
    reader.fail("blocking", "has no effect without asynchronous = true; remove it");
  }
  const bool has_read = reader.has("read_bandwidth") || reader.has("read_bandwidth_per_node");
  if (!has_read && (reader.has("bandwidth") || reader.has("bandwidth_per_node"))) {
    into.read = {};  // of another storage
  }
  read_rate(reader, overlay, "bandwidth", into.write);
  read_rate(reader, overlay, "read_bandwidth", into.read);
  if (const auto size = reader.maybe<Bytes>("size")) {
    into.size = size;
  }
  reader.finish(kCheckpointAliases);
}

void read_stragglers(Reader reader, bool is_data_file, std::optional<StragglerKeys>& into) {
  StragglerKeys keys = into.value_or(StragglerKeys{});
  Overlay overlay(reader, is_data_file);
  if (!into) {
    for (const char* key : {"mtbf", "duration", "slowdown"}) {
      if (!reader.has(key)) {
        reader.fail(key, "stragglers need mtbf, duration and slowdown");
      }
    }
  }
  overlay.take_positive("mtbf", keys.mean_time);
  overlay.take_positive("duration", keys.duration);
  overlay.take_between("slowdown", 1, kMostSlowdown, keys.slowdown);
  reader.finish(kPartAliases);
  into = keys;
}

void read_maintenance(Reader reader, bool is_data_file, std::optional<MaintenanceKeys>& into) {
  MaintenanceKeys keys = into.value_or(MaintenanceKeys{});
  Overlay overlay(reader, is_data_file);
  if (!into && !reader.has("interval")) {
    reader.fail("interval", "expected the time from one maintenance to the next");
  }
  overlay.take_positive("interval", keys.interval);
  overlay.take("duration", keys.duration);
  reader.finish();
  into = keys;
}

void read_times(Reader& reader, bool is_data_file, Reliability& into) {
  Overlay overlay(reader, is_data_file);
  overlay.take("detection", into.detection);
  overlay.take("restart", into.restart);
  overlay.take("swap", into.swap);
  overlay.take("repair", into.repair);
  overlay.take_between("spare_share", 0, 1, into.spare_share);
  if (const auto spares = reader.maybe_count("spares", Range{0, 1'000'000})) {
    into.spares = spares;
    if (reader.has("spare_share")) {
      reader.fail("spare_share", "spares and spare_share say the same thing; give one of them");
    }
  } else if (reader.has("spare_share")) {
    into.spares.reset();
  }
}

}  // namespace

void read_over(Reader& reader, bool is_data_file, Reliability& into) {
  read_times(reader, is_data_file, into);
  into.shrink = reader.count("shrink", into.shrink, Range{0, 1'000'000});
  if (const auto duration = reader.maybe<Seconds>("duration")) {
    into.duration = duration;
    if (*duration <= Seconds(0)) {
      reader.fail("duration", "expected more than zero");
    }
  }
  if (const auto price = reader.maybe<std::string>("price")) {
    into.price = parse_hourly_price(*price);
    if (!into.price) {
      reader.fail("price", "expected a price such as \"$2.5/h\", got \"" + *price + "\"");
    }
  }
  for (std::size_t i = 0; i < kNumPartKinds; ++i) {
    const auto kind = static_cast<PartKind>(i);
    if (auto part = reader.maybe_child(name_of(kind))) {
      read_part(std::move(*part), is_data_file, kind, into);
    }
  }
  if (auto checkpoint = reader.maybe_child("checkpoint")) {
    read_checkpoint(std::move(*checkpoint), is_data_file, into.checkpoint);
  }
  if (auto stragglers = reader.maybe_child("stragglers")) {
    read_stragglers(std::move(*stragglers), is_data_file, into.stragglers);
  }
  if (auto maintenance = reader.maybe_child("maintenance")) {
    read_maintenance(std::move(*maintenance), is_data_file, into.maintenance);
  }
  reader.finish(kAliases);
}

}  // namespace foretrain::goodput
