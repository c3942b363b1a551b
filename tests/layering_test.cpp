// SPDX-License-Identifier: Apache-2.0
// Arrows point one way: no folder includes a folder above it. The checker is checked first.
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/layers.hpp"
#include "tests/support/source_tree.hpp"

namespace foretrain::testing {
namespace {

using Faults = std::vector<std::string>;

Faults faults_of(const std::string& path, const std::string& text) {
  return backward_arrows(std::vector<SourceFile>{{path, text}});
}

TEST_CASE("an include of a folder below, or of the same folder, is no fault", "[layering]") {
  CHECK(faults_of("sim/cli/main.cpp", "#include \"sim/study/scale.hpp\"\n") == Faults{});
  CHECK(faults_of("strategies/plan.hpp", "#include \"models/model.hpp\"\n") == Faults{});
  CHECK(faults_of("models/blocks/mlp.cpp", "#include \"models/blocks/blocks.hpp\"\n") == Faults{});
  CHECK(faults_of("sim/engine/engine.cpp", "#include <vector>\n#include <simgrid/s4u.hpp>\n") ==
        Faults{});
}

TEST_CASE("an arrow drawn backwards is named with its file, line and what is allowed",
          "[layering]") {
  CHECK(faults_of("sim/core/units.hpp", "#pragma once\n# include \"sim/config/value.hpp\"\n") ==
        Faults{"sim/core/units.hpp:2: includes sim/config/value.hpp: sim/core may include nothing "
               "of ours"});
  CHECK(faults_of("models/model.cpp", "#include \"platforms/gpu.hpp\"\n") ==
        Faults{"models/model.cpp:1: includes platforms/gpu.hpp: models may include sim/core, "
               "sim/config, sim/program"});
}

TEST_CASE("nobody includes tests or examples, nor a path that starts elsewhere", "[layering]") {
  for (const std::string target :
       {"tests/support/catch.hpp", "examples/x.hpp", "../core/units.hpp", "units.hpp"}) {
    CHECK(faults_of("sim/program/x.cpp", "#include \"" + target + "\"\n") ==
          Faults{"sim/program/x.cpp:1: includes " + target +
                 ": not a path from the repository root into a layer"});
  }
}

TEST_CASE("the command line alone may include validation", "[layering]") {
  CHECK(faults_of("sim/cli/validate.cpp", "#include \"validation/csv.hpp\"\n") == Faults{});
  CHECK(faults_of("sim/study/scale.cpp", "#include \"validation/csv.hpp\"\n").size() == 1);
}

TEST_CASE("a third party is known to its own folder only", "[layering]") {
  CHECK(faults_of("sim/report/trace.cpp", "#include <simgrid/s4u.hpp>\n") ==
        Faults{"sim/report/trace.cpp:1: includes simgrid/s4u.hpp: only sim/engine may include it"});
  CHECK(faults_of("models/load.cpp", "#include <nlohmann/json.hpp>\n") ==
        Faults{"models/load.cpp:1: includes nlohmann/json.hpp: only sim/config, sim/report, "
               "sim/study, sim/cli, validation, validation/trainer may include it"});
}

TEST_CASE("a source file outside the layers is a fault, a test is not", "[layering]") {
  CHECK(faults_of("sim/new/x.cpp", "") ==
        Faults{"sim/new/x.cpp: in no layer of tests/support/layers.cpp"});
  CHECK(faults_of("tests/sim/x_test.cpp", "#include \"sim/cli/main.hpp\"\n") == Faults{});
}

TEST_CASE("every include of the project follows the arrows", "[layering]") {
  CHECK(backward_arrows(read_source_tree(FORETRAIN_SOURCE_DIR)) == Faults{});
}

}  // namespace
}  // namespace foretrain::testing
