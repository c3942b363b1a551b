// What every command line has in common: exit codes, streams, and words for what was mistyped.
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {

TEST_CASE("an unknown command ends with 2 and the nearest command", "[cli]") {
  const Outcome outcome = command_line({"simulat", "run.toml"});
  CHECK(outcome.code == cli::kBadInput);
  CHECK(outcome.out.empty());
  CHECK(outcome.talk ==
        "error: there is no command 'simulat'; did you mean 'simulate'?\n"
        "for all commands: foretrain --help\n");
  CHECK(command_line({"xyzzy"}).talk ==
        "error: there is no command 'xyzzy'\nfor all commands: foretrain --help\n");
}

TEST_CASE("a command line without what it needs, or with too much, ends with 2", "[cli]") {
  const SmallRun small;
  for (const Outcome& outcome :
       {command_line({}), command_line({"simulate"}), small("simulate", {"more.toml"}),
        small("simulate", {"--bogus"}), small("simulate", {"--format", "xml"}),
        small("simulate", {"--set"}), command_line({"list", "colours"}),
        small("scale", {"--jobs", "0"}), small("scale", {"--efficiency", "1.5"})}) {
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    CHECK(outcome.talk.starts_with("error: "));
    CHECK(has(outcome.talk, "--help"));
  }
}

TEST_CASE("help and version are data and end with 0", "[cli]") {
  const Outcome help = command_line({"--help"});
  CHECK(help.code == cli::kGood);
  CHECK(help.talk.empty());
  for (const cli::Command& command : cli::commands()) {
    CHECK(has(help.out, std::string(command.name)));
    CHECK(has(help.out, std::string(command.sentence)));
    CHECK(command_line({std::string(command.name), "--help"}).code == cli::kGood);
  }
  const Outcome version = command_line({"--version"});
  CHECK(version.code == cli::kGood);
  CHECK(version.out.starts_with("foretrain "));
}

TEST_CASE("commands have names of their own", "[cli]") {
  std::set<std::string_view> names;
  for (const cli::Command& command : cli::commands()) {
    CHECK(names.insert(command.name).second);
  }
}

TEST_CASE("a file that cannot be read ends with 2 and its name", "[cli]") {
  const Outcome missing = command_line({"simulate", "no/such.toml"});
  CHECK(missing.code == cli::kBadInput);
  CHECK(missing.out.empty());
  CHECK(missing.talk == "error: no/such.toml: cannot be opened: No such file or directory\n");
  const ScratchFolder folder;
  CHECK(command_line({"simulate", folder.path()}).code == cli::kBadInput);
}

TEST_CASE("every mistake of a run file is told, with its place, and ends with 2", "[cli]") {
  const ScratchFolder folder;
  const std::string file = folder.write("run.toml", "model = 3\nplatfrom = \"dgx-a100-40gb\"\n");
  std::string expected;
  for (const char* mistake :
       {": missing key 'platform' (text in quotes)\n", ": missing key 'training' (a table)\n",
        ":1:9: model: expected text in quotes, got 3 (a whole number)\n"
        "  model = 3\n          ^\n",
        ":2:1: unknown key 'platfrom'; did you mean 'platform'?\n"
        "  platfrom = \"dgx-a100-40gb\"\n  ^\n"}) {
    expected.append("error: ").append(file).append(mistake);
  }
  for (const char* command : {"simulate", "memory", "check", "scale"}) {
    const Outcome outcome = command_line({command, file});
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    CHECK(outcome.talk == expected);
  }
}

TEST_CASE("settings override keys of the file and their mistakes say so", "[cli]") {
  const SmallRun small;
  CHECK(has(small("check", {"--set", "parallel.tensor=4"}).out, "tensor 4 x pipeline 2 x data 1"));
  CHECK(has(small("check", {"--set", "parallel.tensor=4", "--set", "parallel.pipeline=1"}).out,
            "tensor 4 x pipeline 1 x data 2"));
  const Outcome unknown = small("simulate", {"--set", "parallel.tensr=4"});
  CHECK(unknown.code == cli::kBadInput);
  CHECK(unknown.talk ==
        "error: --set parallel.tensr=4:1:10: parallel: unknown key 'tensr'; did you mean "
        "'tensor'?\n  parallel.tensr=4\n           ^\n");
  const Outcome bad = small("simulate", {"--set", "parallel.tensor=3"});
  CHECK(bad.code == cli::kBadInput);
  CHECK(
      has(bad.talk, "tensor 3 x pipeline 2 = 6, but the platform has 8 GPUs: nodes = 3 gives 24"));
}

}  // namespace foretrain::testing
