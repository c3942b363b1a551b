// The user's mistakes, each with the whole text of its error: what a stranger reads and must
// understand. Changing a message is fine; doing so by accident is not.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <string>

#include "sim/config/reader.hpp"
#include "tests/sim/config/reading.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

using testing::mistakes;

enum class Recompute : std::uint8_t { none, selective, full };
constexpr auto kRecompute = std::to_array<Choice<Recompute>>(
    {{"none", Recompute::none}, {"selective", Recompute::selective}, {"full", Recompute::full}});

template <class T>
std::string mistake_of(const std::string& text) {
  return mistakes(text, [](Reader& reader) { (void)reader.get<T>("key"); });
}

/// The error of one line `key = ...` at column 7, where its value stands.
std::string at_value(const std::string& line, const std::string& message) {
  return "a.toml:1:7: key: " + message + "\n  " + line + "\n        ^";
}

template <class T>
void check_mistake(const std::string& line, const std::string& message) {
  CHECK(mistake_of<T>(line + '\n') == at_value(line, message));
}

TEST_CASE("a value of the wrong type is named with what was expected", "[config]") {
  check_mistake<bool>("key = 1", "expected true or false, got 1 (a whole number)");
  check_mistake<bool>("key = \"true\"", "expected true or false, got \"true\" (text)");
  check_mistake<std::int64_t>("key = 4.0",
                              "expected a whole number, got 4.0 (a number with a fraction)");
  check_mistake<std::int64_t>("key = \"4\"", "expected a whole number, got \"4\" (text)");
  check_mistake<double>("key = true", "expected a number, got true");
  check_mistake<std::string>("key = 16", "expected text in quotes, got 16 (a whole number)");
  check_mistake<std::string>("key = { a = 1 }", "expected text in quotes, got a table");
  check_mistake<double>("key = [1]", "expected a number, got an array");
  check_mistake<double>("key = ''", "expected a number, got empty text");
}

TEST_CASE("a quantity without a unit is refused, even zero", "[config]") {
  check_mistake<BytesPerSecond>(
      "key = 3350", "expected a rate such as \"3.35 TB/s\", got 3350 (a number without a unit)");
  check_mistake<Seconds>("key = 0.5",
                         "expected a time such as \"5 us\", got 0.5 (a number without a unit)");
  check_mistake<Bytes>("key = 0",
                       "expected a size such as \"80 GB\", got 0 (a number without a unit)");
  check_mistake<Bytes>("key = '80'",
                       "expected a size such as \"80 GB\", got \"80\" (a number without a unit)");
}

TEST_CASE("a quantity of another kind is told from a misspelt unit", "[config]") {
  check_mistake<BytesPerSecond>(
      "key = '400 GB'",
      "expected a rate such as \"3.35 TB/s\", got \"400 GB\" (a size, not a rate)");
  check_mistake<BytesPerSecond>("key = '2 gb/s'",
                                "expected a rate such as \"3.35 TB/s\", got \"2 gb/s\" (unknown "
                                "unit 'gb/s'; did you mean 'GB/s' or 'Gb/s'?)");
  check_mistake<FlopsPerSecond>("key = '989 TFLOPS'",
                                "expected a compute rate such as \"989 TFLOP/s\", got \"989 "
                                "TFLOPS\" (unknown unit 'TFLOPS'; did you mean 'TFLOP/s'?)");
  check_mistake<Seconds>("key = '-5 us'",
                         "expected a time such as \"5 us\", got \"-5 us\" (a negative number)");
  check_mistake<Bytes>(
      "key = 'a lot'",
      "expected a size such as \"80 GB\", got \"a lot\" (not a number with a unit)");
  check_mistake<Hertz>("key = []", "expected a frequency such as \"1.4 GHz\", got an array");
}

TEST_CASE("a count outside of its range is told the range", "[config]") {
  const auto read = [](Reader& reader) { (void)reader.count("key", {1, 4096}); };
  CHECK(mistakes("key = 0\n", read) ==
        at_value("key = 0", "expected a whole number from 1 to 4096, got 0"));
  CHECK(mistakes("key = 4097\n", read) ==
        at_value("key = 4097", "expected a whole number from 1 to 4096, got 4097"));
  CHECK(mistakes("key = 1.5\n", read) ==
        at_value("key = 1.5",
                 "expected a whole number from 1 to 4096, got 1.5 (a number with a fraction)"));
}

TEST_CASE("a count without a range of its own must still be sensible", "[config]") {
  const auto read = [](Reader& reader) { (void)reader.count("key"); };
  CHECK(mistakes("key = -3\n", read) ==
        at_value("key = -3", "expected a whole number of at least 1, got -3"));
  CHECK(mistakes("key = 1000000000001\n", read) ==
        at_value("key = 1000000000001",
                 "expected a whole number of at most 1000000000000, got 1000000000001"));
}

TEST_CASE("a wrong word is told the right ones and the nearest", "[config]") {
  const auto read = [](Reader& reader) {
    (void)reader.choice<Recompute>("key", kRecompute, Recompute::none);
  };
  CHECK(mistakes("key = 'ful'\n", read) ==
        at_value("key = 'ful'",
                 "expected one of none, selective, full; got 'ful'; did you mean 'full'?"));
  CHECK(mistakes("key = 'everything'\n", read) ==
        at_value("key = 'everything'", "expected one of none, selective, full; got 'everything'"));
  CHECK(mistakes("key = true\n", read) ==
        at_value("key = true", "expected one of none, selective, full; got true"));
}

TEST_CASE("a missing key is reported at its table with what it should be", "[config]") {
  CHECK(mistakes("\n[training]\n",
                 [](Reader& reader) { (void)reader.child("training").count("micro_batch"); }) ==
        "a.toml:2:1: training: missing key 'micro_batch' (a whole number)\n"
        "  [training]\n"
        "  ^");
  CHECK(mistake_of<Bytes>("") == "a.toml: missing key 'key' (a size such as \"80 GB\")");
  CHECK(mistakes("", [](Reader& reader) {
          (void)reader.count("n", {2, 4});
        }) == "a.toml: missing key 'n' (a whole number from 2 to 4)");
  CHECK(mistakes("", [](Reader& reader) { (void)reader.choice<Recompute>("mode", kRecompute); }) ==
        "a.toml: missing key 'mode' (one of none, selective, full)");
}

TEST_CASE("a missing table is reported once, and not key by key", "[config]") {
  CHECK(mistakes("", [](Reader& reader) {
          Reader training = reader.child("training");
          (void)training.count("micro_batch");
          (void)training.child("inner").get<Bytes>("memory");
          training.fail("micro_batch", "must divide the global batch");
          training.finish();
        }) == "a.toml: missing key 'training' (a table)");
}

TEST_CASE("a value where a table should be is reported once", "[config]") {
  CHECK(mistakes("training = 3\n",
                 [](Reader& reader) { (void)reader.child("training").count("micro_batch"); }) ==
        "a.toml:1:12: training: expected a table, got 3 (a whole number)\n"
        "  training = 3\n"
        "             ^");
  const auto read = [](Reader& reader) { CHECK(reader.children("levels").empty()); };
  CHECK(mistakes("[levels]\n", read) ==
        "a.toml:1:1: levels: expected an array of tables, [[levels]], got a table\n"
        "  [levels]\n"
        "  ^");
  CHECK(mistakes("levels = [1]\n", read) ==
        "a.toml:1:11: levels[0]: expected a table, got 1 (a whole number)\n"
        "  levels = [1]\n"
        "            ^");
}

void read_parallel(Reader& reader) {
  constexpr auto kAliases = std::to_array<Alias>({{"tp", "tensor"}, {"num_stages", "pipeline"}});
  Reader parallel = reader.child("parallel");
  (void)parallel.count("tensor", 1, {});
  (void)parallel.count("pipeline", 1, {});
  parallel.finish(kAliases);
}

TEST_CASE("an unknown key is told the nearest of the keys that may be there", "[config]") {
  // 'pipeline' is absent from the file, but the reader asked for it.
  CHECK(mistakes("[parallel]\npipelin = 4\n", read_parallel) ==
        "a.toml:2:1: parallel: unknown key 'pipelin'; did you mean 'pipeline'?\n"
        "  pipelin = 4\n"
        "  ^");
}

TEST_CASE("another tool's name for a key is told ours", "[config]") {
  CHECK(mistakes("[parallel]\n  tp = 4\n", read_parallel) ==
        "a.toml:2:3: parallel: unknown key 'tp'; here it is called 'tensor'\n"
        "    tp = 4\n"
        "    ^");
}

TEST_CASE("an unknown key like no other is told all that may be there", "[config]") {
  CHECK(mistakes("[parallel]\nx = 4\n", read_parallel) ==
        "a.toml:2:1: parallel: unknown key 'x'; the keys here are pipeline, tensor\n"
        "  x = 4\n"
        "  ^");
  CHECK(mistakes("x = 4\n", [](Reader& reader) { reader.finish(); }) ==
        "a.toml:1:1: unknown key 'x'\n"
        "  x = 4\n"
        "  ^");
}

TEST_CASE("a number without an origin is refused", "[config]") {
  check_mistake<Sourced<Seconds>>(
      "key = '4 us'",
      "needs a source: write { value = ..., source = \"...\" }, or source = \"...\" in its table");
  check_mistake<Sourced<Seconds>>(
      "key = { value = '4 us' }",
      "needs a source: write { value = ..., source = \"...\" }, or source = \"...\" in its table");
}

TEST_CASE("a number in braces with a wrong key or basis is refused", "[config]") {
  const auto read = [](Reader& reader) { (void)reader.get<Sourced<double>>("key"); };
  CHECK(mistakes("key = { valeu = 1, source = 's' }\n", read) ==
        "a.toml:1:7: key: missing key 'value' (a number)\n"
        "  key = { valeu = 1, source = 's' }\n"
        "        ^\n"
        "a.toml:1:9: key: unknown key 'valeu'; did you mean 'value'?\n"
        "  key = { valeu = 1, source = 's' }\n"
        "          ^");
  CHECK(mistakes("source = 's'\nkey = { value = 1, basis = 'fited' }\n", read) ==
        "a.toml:2:28: key.basis: expected one of datasheet, measured, fitted, transferred, "
        "assumed; got 'fited'; did you mean 'fitted'?\n"
        "  key = { value = 1, basis = 'fited' }\n"
        "                             ^");
}

TEST_CASE("a fraction outside of its limits is refused", "[config]") {
  CHECK(mistakes("source = 's'\nkey = 1.2\n",
                 [](Reader& reader) { CHECK(reader.fraction("key", 0.0, 0.9).value == 0.9); }) ==
        "a.toml:2:7: key: expected a number from 0.0 to 0.9, got 1.2\n"
        "  key = 1.2\n"
        "        ^");
}

TEST_CASE("a caller's complaint stands at the value, or at the table without one", "[config]") {
  const auto read = [](Reader& reader) { reader.child("t").fail("a", "must be even"); };
  CHECK(mistakes("[t]\na = 3\n", read) == "a.toml:2:5: t.a: must be even\n  a = 3\n      ^");
  CHECK(mistakes("[t]\n", read) == "a.toml:1:1: t: must be even\n  [t]\n  ^");
}

TEST_CASE("all the mistakes of a file come in its order, whoever looked first", "[config]") {
  CHECK(mistakes("a = 'x'\nb = 'y'\n\nc = 1\n",
                 [](Reader& reader) {
                   (void)reader.get<double>("b");
                   (void)reader.get<double>("a");
                   (void)reader.get<double>("d");
                   reader.finish();
                 }) ==
        "a.toml: missing key 'd' (a number)\n"
        "a.toml:1:5: a: expected a number, got \"x\" (text)\n"
        "  a = 'x'\n"
        "      ^\n"
        "a.toml:2:5: b: expected a number, got \"y\" (text)\n"
        "  b = 'y'\n"
        "      ^\n"
        "a.toml:4:1: unknown key 'c'; the keys here are a, b, d\n"
        "  c = 1\n"
        "  ^");
}

TEST_CASE("text from the file cannot steer the terminal", "[config]") {
  check_mistake<double>("key = \"\\u001b[2J\"", "expected a number, got \"?[2J\" (text)");
}

TEST_CASE("long text is cut in messages", "[config]") {
  const std::string error = mistake_of<double>("key = '" + std::string(500, 'x') + "'\n");
  CHECK(error == "a.toml:1:7: key: expected a number, got \"" + std::string(60, 'x') +
                     "...\" (text)\n  key = '" + std::string(93, 'x') + "...\n        ^");
}

TEST_CASE("a hundred mistakes are shown and the rest counted", "[config]") {
  std::string text;
  for (int i = 0; i < 150; ++i) {
    text += "unknown_" + std::to_string(i) + " = 1\n";
  }
  const std::string error = mistakes(text, [](Reader& reader) { reader.finish(); });
  CHECK(error.ends_with("\nand 50 more mistakes"));
}

}  // namespace
}  // namespace foretrain::config
