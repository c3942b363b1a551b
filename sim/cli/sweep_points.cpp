// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/sweep_points.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/sweep/result.hpp"

namespace foretrain::cli {
namespace {

using sweep::Assignment;

RunOptions with(RunOptions options, const std::vector<Assignment>& assignments) {
  for (const Assignment& assignment : assignments) {
    options.sets.push_back(assignment.text());
  }
  return options;
}

std::string refusal_of(const ConfigError& error) {
  const Diagnostic& first = error.diagnostics().front();
  return first.key.empty() ? first.message : first.key + ": " + first.message;
}

/// What the loading of one point has to say.
struct Mistakes {
  std::vector<Diagnostic> all;
  bool is_in_file = false;  ///< before anything that the run file names was looked up
};

Mistakes mistakes_at(const RunOptions& options) {
  Mistakes mistakes;
  try {
    config::Sources sources;
    (void)read_run_file(options, sources);
  } catch (const ConfigError& error) {
    return {error.diagnostics(), true};
  }
  try {
    LoadedRun loaded;
    load_run(options, loaded);
  } catch (const ConfigError& error) {
    mistakes.all = error.diagnostics();
  }
  return mistakes;
}

/// Follows the first points until every varied key has been understood.
class KeyCheck {
 public:
  explicit KeyCheck(const sweep::Grid& grid) {
    for (const std::string& key : grid.keys()) {
      unknown_.insert(key);
    }
  }

  [[nodiscard]] bool is_over() const { return unknown_.empty() && !is_file_wrong_; }

  void look(const std::vector<Assignment>& assignments, const Mistakes& mistakes) {
    std::set<std::string> varied;  // how their mistakes are called
    for (const Assignment& assignment : assignments) {
      const std::string source = "--set " + assignment.text();
      varied.insert(source);
      const auto mistake =
          std::find_if(mistakes.all.begin(), mistakes.all.end(), [&](const Diagnostic& diagnostic) {
            return diagnostic.file == source && diagnostic.message.starts_with("unknown key");
          });
      if (mistake == mistakes.all.end()) {
        unknown_.erase(assignment.key);
      } else {
        reasons_.try_emplace(assignment.key, *mistake);
      }
    }
    std::vector<Diagnostic> others;
    std::copy_if(mistakes.all.begin(), mistakes.all.end(), std::back_inserter(others),
                 [&](const Diagnostic& diagnostic) { return !varied.contains(diagnostic.file); });
    is_file_wrong_ = is_file_wrong_ && mistakes.is_in_file && !others.empty();
    if (of_file_.empty()) {
      of_file_ = others;
    }
  }

  void throw_if_any() const {
    std::vector<Diagnostic> diagnostics;
    for (const std::string& key : unknown_) {
      diagnostics.push_back(
          {"--vary " + key, 0, 0, reasons_.at(key).key, reasons_.at(key).message, ""});
    }
    if (is_file_wrong_) {
      diagnostics.insert(diagnostics.end(), of_file_.begin(), of_file_.end());
    }
    if (!diagnostics.empty()) {
      throw ConfigError(diagnostics);
    }
  }

 private:
  std::set<std::string> unknown_;  ///< until a point understands them
  std::map<std::string, Diagnostic> reasons_;
  std::vector<Diagnostic> of_file_;
  bool is_file_wrong_ = true;  ///< until a point has no mistake there
};

}  // namespace

sweep::Prepared prepare_point(const RunOptions& options,
                              const std::vector<Assignment>& assignments) {
  sweep::Prepared prepared;
  const auto loaded = std::make_shared<LoadedRun>();
  try {
    load_run(with(options, assignments), *loaded);
    prepared.predict = [loaded] { return sweep::result_json(simulate(loaded->run).prediction); };
  } catch (const ConfigError& error) {
    prepared.refusal = refusal_of(error);
  } catch (const std::exception& error) {  // a bug costs one point, not the sweep
    prepared.predict = [what = std::string(error.what())]() -> std::string {
      throw InternalError(what);
    };
  }
  prepared.config_hash = provenance_of(loaded->sources, data_root()).config_hash;
  return prepared;
}

void check_sweep(const RunOptions& options, const sweep::Grid& grid) {
  constexpr std::uint64_t kLooks = 100;  // a millisecond each, and one does as a rule
  KeyCheck check(grid);
  for (std::uint64_t i = 0; i < std::min(grid.size(), kLooks) && !check.is_over(); ++i) {
    const std::vector<Assignment> assignments = grid.point(i);
    check.look(assignments, mistakes_at(with(options, assignments)));
  }
  check.throw_if_any();
}

}  // namespace foretrain::cli
