// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/reliability.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "sim/config/catalogue.hpp"
#include "sim/core/error.hpp"
#include "sim/study/goodput/read_reliability.hpp"

namespace foretrain::goodput {
namespace {

using config::Choice;
using config::Reader;

constexpr std::array<std::string_view, kNumPartKinds> kPartNames = {"gpu", "node", "switch", "link",
                                                                    "software"};
constexpr std::array<std::string_view, 4> kRuleNames = {"given", "young", "daly", "search"};
// A data file over what is there already; it says what it is about.
Reliability load_over(config::Sources& sources, const std::string& path, Reliability below) {
  return config::load_toml<Reliability>(sources, path, [&](Reader& reader) {
    Reliability result = std::move(below);
    (void)reader.get<std::string>("name");
    (void)reader.get<std::string>("source");
    (void)reader.maybe<std::string>("basis");
    read_over(reader, true, result);
    return result;
  });
}

constexpr std::string_view kBelowAll = "usual";

Reliability load_rates(config::Sources& sources, const std::string& rates,
                       const std::string& folder, const std::string& directory) {
  Reliability result =
      load_over(sources, config::find_file("reliability", std::string(kBelowAll), folder), {});
  if (rates != kBelowAll) {
    const std::string wanted =
        config::is_path(rates) ? (std::filesystem::path(directory) / rates).string() : rates;
    result = load_over(sources, config::find_file("reliability", wanted, folder), result);
  }
  result.rates = rates;
  return result;
}

}  // namespace

std::string_view name_of(PartKind kind) { return kPartNames[static_cast<std::size_t>(kind)]; }

std::string_view name_of(IntervalRule rule) { return kRuleNames[static_cast<std::size_t>(rule)]; }

BytesPerSecond StorageRate::at(std::int64_t nodes) const {
  FORETRAIN_ASSERT(is_given(), "a storage without a rate");
  if (!per_node) {
    return all->value;
  }
  const BytesPerSecond of_nodes = per_node->value * static_cast<double>(nodes);
  return all ? std::min(all->value, of_nodes) : of_nodes;
}

Reliability load_reliability(config::Sources& sources, const std::optional<config::Value>& keys,
                             const std::string& folder, const std::string& directory) {
  if (!keys) {
    return load_rates(sources, std::string(kUsualRates), folder, directory);
  }
  config::Diagnostics diagnostics;
  Reader reader(*keys, "reliability", diagnostics);
  const auto rates = reader.get<std::string>("rates", std::string(kUsualRates));
  diagnostics.throw_if_any();
  Reliability result = load_rates(sources, rates, folder, directory);
  read_over(reader, false, result);
  diagnostics.throw_if_any();
  return result;
}

std::string reliability_sentence(const std::string& name, const std::string& folder) {
  config::Sources sources;
  return config::load_toml<std::string>(sources, config::find_file("reliability", name, folder),
                                        [](Reader& reader) {
                                          Reliability ignored;
                                          auto sentence = reader.get<std::string>("name");
                                          (void)reader.get<std::string>("source");
                                          (void)reader.maybe<std::string>("basis");
                                          read_over(reader, true, ignored);
                                          return sentence;
                                        });
}

namespace {

template <class T>
void add(std::string name, const std::optional<Sourced<T>>& number, std::vector<Fact>& facts) {
  if (number) {
    facts.push_back(fact(std::move(name), *number));
  }
}

}  // namespace

std::vector<Fact> facts(const Reliability& reliability) {
  std::vector<Fact> facts;
  for (std::size_t i = 0; i < kNumPartKinds; ++i) {
    const PartFailures& part = reliability.parts[i];
    add(fmt::format("{}.mtbf", kPartNames[i]), part.mean_time, facts);
    if (part.shape.value != 1) {
      facts.push_back(fact(fmt::format("{}.shape", kPartNames[i]), part.shape));
    }
    add(fmt::format("{}.detection", kPartNames[i]), part.detection, facts);
    add(fmt::format("{}.repair", kPartNames[i]), part.repair, facts);
  }
  facts.push_back(fact("detection", reliability.detection));
  facts.push_back(fact("restart", reliability.restart));
  facts.push_back(fact("swap", reliability.swap));
  facts.push_back(fact("repair", reliability.repair));
  if (!reliability.spares) {
    facts.push_back(fact("spare_share", reliability.spare_share));
  }
  const CheckpointKeys& checkpoint = reliability.checkpoint;
  if (checkpoint.is_asynchronous) {
    facts.push_back(fact("checkpoint.blocking", checkpoint.blocking));
  }
  add("checkpoint.bandwidth", checkpoint.write.all, facts);
  add("checkpoint.bandwidth_per_node", checkpoint.write.per_node, facts);
  add("checkpoint.read_bandwidth", checkpoint.read.all, facts);
  add("checkpoint.read_bandwidth_per_node", checkpoint.read.per_node, facts);
  if (reliability.stragglers) {
    facts.push_back(fact("stragglers.mtbf", reliability.stragglers->mean_time));
    facts.push_back(fact("stragglers.duration", reliability.stragglers->duration));
    facts.push_back(fact("stragglers.slowdown", reliability.stragglers->slowdown));
  }
  if (reliability.maintenance) {
    facts.push_back(fact("maintenance.interval", reliability.maintenance->interval));
    facts.push_back(fact("maintenance.duration", reliability.maintenance->duration));
  }
  return facts;
}

}  // namespace foretrain::goodput
