// SPDX-License-Identifier: Apache-2.0
// The shipped cases: each resolves, cites and grades, and together they cover what they should.
#include <filesystem>
#include <set>

#include "sim/core/error.hpp"
#include "strategies/plan.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"
#include "validation/case.hpp"

namespace foretrain::validation {
namespace {

using testing::kRoot;

Run resolved(const Case& one, config::Sources& sources) {
  config::Diagnostics diagnostics;
  config::Reader reader(one.run, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  const Catalogue catalogue = {kRoot + "/models", kRoot + "/platforms",
                               kRoot + "/strategies/stacks"};
  return resolve(file, sources, catalogue, one.directory);
}

TEST_CASE("every shipped case resolves, and says who measured what", "[cases]") {
  config::Sources sources;
  for (const Case& one : load_cases(sources, kRoot + "/validation/cases")) {
    INFO(one.id);
    std::string mistake;
    try {
      const Run run = resolved(one, sources);
      REQUIRE(run.measured);
      CHECK_FALSE(run.measured->source.empty());
      CHECK_FALSE(run.measured->group.empty());
      CHECK((run.measured->quality == "A" || run.measured->quality == "B"));
    } catch (const ConfigError& error) {
      mistake = error.diagnostics().front().text();
    }
    CHECK(mistake.empty());
  }
}

TEST_CASE("the shipped cases cover many sources, sizes and kinds of measurement", "[cases]") {
  config::Sources sources;
  const std::vector<Case> cases = load_cases(sources, kRoot + "/validation/cases");
  CHECK(cases.size() >= 150);
  std::set<std::string> groups;
  std::int64_t least = 1'000'000;
  std::int64_t most = 0;
  std::size_t failed = 0;
  std::size_t peaks = 0;
  for (const Case& one : cases) {
    const Run run = resolved(one, sources);
    groups.insert(one.group);
    least = std::min(least, run.num_gpus());
    most = std::max(most, run.num_gpus());
    failed += run.measured->fits.value_or(true) ? 0 : 1;
    peaks += run.measured->peak_memory ? 1 : 0;
  }
  CHECK(groups.size() >= 12);
  CHECK(least == 8);
  CHECK(most == 10752);
  CHECK(failed >= 10);
  CHECK(peaks >= 20);
}

}  // namespace
}  // namespace foretrain::validation
