// SPDX-License-Identifier: Apache-2.0
#include "validation/live/report.hpp"

#include <algorithm>
#include <map>

#include "validation/live/break_even.hpp"

namespace foretrain::live {

std::optional<double> BreakEven::error() const {
  if (!measured || !predicted) {
    return std::nullopt;
  }
  return *predicted / *measured - 1;
}

LiveErrors LiveReport::errors(std::optional<BytesPerSecond> rate) const {
  std::vector<double> errors;
  std::vector<double> measured;
  std::vector<double> predicted;
  LiveErrors found;
  for (const LiveResult& result : results) {
    const bool is_wanted = result.measured && result.setting.straggler == Straggler::none &&
                           (!rate || result.setting.rate == *rate);
    if (is_wanted) {
      errors.push_back(result.error());
      measured.push_back(result.measured->median.value);
      predicted.push_back(result.predicted.value);
      found.mean_spread += result.measured->spread();
    }
  }
  found.times = validation::summarize(errors);
  found.tau = validation::kendall_tau(measured, predicted);
  found.mean_spread /= static_cast<double>(std::max<std::size_t>(1, errors.size()));
  return found;
}

std::vector<BytesPerSecond> LiveReport::rates() const {
  std::vector<BytesPerSecond> rates;
  rates.reserve(results.size());
  for (const LiveResult& result : results) {
    rates.push_back(result.setting.rate);
  }
  std::sort(rates.begin(), rates.end());
  rates.erase(std::unique(rates.begin(), rates.end()), rates.end());
  return rates;
}

bool LiveReport::has_failure() const {
  return std::any_of(results.begin(), results.end(),
                     [](const LiveResult& result) { return !result.measured; });
}

std::vector<BreakEven> break_evens_of(const std::vector<LiveResult>& results) {
  std::vector<BreakEven> found;
  for (const LiveModel& model : live_models()) {
    std::vector<RatePair> measured;
    std::vector<RatePair> predicted;
    for (const LiveResult& plain : results) {
      for (const LiveResult& coded : results) {
        const bool is_pair =
            plain.setting.model == &model && coded.setting.model == &model &&
            plain.setting.strategy->name == "ddp" && coded.setting.strategy->name == "ddp-int8" &&
            plain.setting.rate == coded.setting.rate &&
            plain.setting.straggler == Straggler::none && plain.measured && coded.measured;
        if (is_pair) {
          measured.push_back({plain.setting.rate, plain.measured->median, coded.measured->median});
          predicted.push_back({plain.setting.rate, plain.predicted, coded.predicted});
        }
      }
    }
    if (measured.size() > 1) {
      const auto is_slower = [](const RatePair& a, const RatePair& b) { return a.rate < b.rate; };
      const RatePair fastest = *std::max_element(measured.begin(), measured.end(), is_slower);
      const RatePair said = *std::max_element(predicted.begin(), predicted.end(), is_slower);
      found.push_back({std::string(model.name), break_even(measured), break_even(predicted),
                       fastest.rate, fastest.compressed < fastest.plain,
                       said.compressed < said.plain});
    }
  }
  return found;
}

}  // namespace foretrain::live
