// SPDX-License-Identifier: Apache-2.0
#include "validation/residuals.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "sim/config/catalogue.hpp"
#include "sim/core/error.hpp"
#include "validation/statistics.hpp"

namespace foretrain::validation {
namespace {

using ErrorsBySource = std::map<std::string, std::vector<double>>;

struct Band {
  double low = 0;
  double high = 0;
};

// Of all sources but one.
Band band_of(const ErrorsBySource& errors, const std::string& held_out) {
  std::vector<double> values;
  std::vector<double> weights;
  for (const auto& [source, list] : errors) {
    if (source != held_out) {
      values.insert(values.end(), list.begin(), list.end());
      weights.insert(weights.end(), list.size(), 1.0 / static_cast<double>(list.size()));
    }
  }
  return {weighted_quantile(values, weights, kOutside),
          weighted_quantile(values, weights, 1 - kOutside)};
}

KindResiduals residuals_of(const std::string& kind, const ErrorsBySource& errors) {
  KindResiduals residuals;
  residuals.kind = kind;
  residuals.sources = errors.size();
  const Band all = band_of(errors, "");
  residuals.low = all.low;
  residuals.high = all.high;
  for (const auto& [source, list] : errors) {
    const Band others = band_of(errors, source);
    residuals.cases += list.size();
    residuals.within +=
        static_cast<std::size_t>(std::count_if(list.begin(), list.end(), [&](double error) {
          return error >= others.low && error <= others.high;
        }));
  }
  return residuals;
}

KindResiduals read_kind(config::Reader& reader) {
  KindResiduals kind;
  kind.kind = reader.get<std::string>("kind");
  kind.sources = static_cast<std::size_t>(reader.count("sources"));
  kind.cases = static_cast<std::size_t>(reader.count("cases"));
  kind.within = static_cast<std::size_t>(reader.count("within", 0, {0, 1'000'000'000}));
  kind.low = reader.get<double>("low");
  kind.high = reader.get<double>("high");
  if (kind.low > kind.high || kind.low <= -1) {
    reader.fail("low", "expected an error above -1 and at most high");
  }
  reader.finish();
  return kind;
}

const KindResiduals* find(const std::vector<KindResiduals>& residuals, const std::string& kind) {
  const auto found = std::find_if(residuals.begin(), residuals.end(),
                                  [&](const KindResiduals& one) { return one.kind == kind; });
  return found == residuals.end() ? nullptr : &*found;
}

}  // namespace

std::vector<KindResiduals> residuals_of(const std::vector<Outcome>& outcomes) {
  std::map<std::string, ErrorsBySource> kinds;
  for (const Outcome& outcome : outcomes) {
    if (outcome.time) {
      const std::string family = outcome.group.substr(0, outcome.group.find('-'));
      kinds[outcome.kind][family].push_back(outcome.time->error());
      kinds[kEveryKind][family].push_back(outcome.time->error());
    }
  }
  std::vector<KindResiduals> residuals;
  for (const auto& [kind, errors] : kinds) {
    if (errors.size() >= kLeastSources) {
      residuals.push_back(residuals_of(kind, errors));
    }
  }
  return residuals;
}

std::string residuals_toml(const std::vector<KindResiduals>& residuals) {
  std::string text = fmt::format(
      "# Errors of predicted times against published measurements, by kind of run; written by\n"
      "# foretrain validate --write-residuals. low and high are the {:.0f} and {:.0f} % quantiles "
      "of\n"
      "# predicted / measured - 1, each source weighing the same; within counts the cases that "
      "fell\n"
      "# between the quantiles of the other sources.\n"
      "# SPDX-License-Identifier: Apache-2.0\n",
      100 * kOutside, 100 * (1 - kOutside));
  for (const KindResiduals& one : residuals) {
    text += fmt::format(
        "\n[[residuals]]\nkind = \"{}\"\nsources = {}\ncases = {}\nwithin = {}\nlow = {:.4f}\n"
        "high = {:.4f}\n",
        one.kind, one.sources, one.cases, one.within, one.low, one.high);
  }
  return text;
}

std::vector<KindResiduals> load_residuals(config::Sources& sources, const std::string& path) {
  return config::load_toml<std::vector<KindResiduals>>(sources, path, [](config::Reader& reader) {
    std::vector<KindResiduals> residuals;
    for (config::Reader& table : reader.children("residuals")) {
      residuals.push_back(read_kind(table));
    }
    reader.finish();
    return residuals;
  });
}

std::optional<Interval> interval_of(const Run& run, Seconds step,
                                    const std::vector<KindResiduals>& residuals) {
  const KindResiduals* kind = find(residuals, kind_of(run));
  kind = kind == nullptr ? find(residuals, kEveryKind) : kind;
  if (kind == nullptr) {
    return std::nullopt;
  }
  Interval interval;
  interval.low = step / (1 + kind->high);
  interval.high = step / (1 + kind->low);
  interval.kind = kind->kind;
  interval.within = kind->within;
  interval.cases = kind->cases;
  interval.sources = kind->sources;
  return interval;
}

}  // namespace foretrain::validation
