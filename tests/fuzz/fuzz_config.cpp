// Feeds the same bytes to every way into a configuration tree, reads what comes out in every type,
// and checks that a tree written as TOML reads back to the same text.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "sim/config/reader.hpp"
#include "sim/config/value.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace foretrain::config {
namespace {

constexpr auto kChoices = std::to_array<Choice<int>>({{"none", 0}, {"full", 1}});
constexpr auto kAliases = std::to_array<Alias>({{"tp", "tensor"}});

template <class T>
void read_both_ways(Reader& reader, const std::string& key) {
  (void)reader.maybe<T>(key);
  (void)reader.get<Sourced<T>>(key);
}

void read_everything(Reader& reader) {
  for (const std::string& key : reader.keys()) {
    (void)reader.get<bool>(key);
    (void)reader.get<std::string>(key);
    read_both_ways<std::int64_t>(reader, key);
    read_both_ways<double>(reader, key);
    read_both_ways<Bytes>(reader, key);
    read_both_ways<BytesPerSecond>(reader, key);
    read_both_ways<Seconds>(reader, key);
    read_both_ways<FlopsPerSecond>(reader, key);
    (void)reader.count(key, {1, 4096});
    (void)reader.fraction(key, 0.0, 1.0);
    (void)reader.choice<int>(key, kChoices);
  }
}

void exercise(const Value& root) {
  Diagnostics diagnostics;
  Reader reader(root, "", diagnostics);
  read_everything(reader);
  for (const std::string& key : reader.keys()) {
    Reader child = reader.child(key);
    read_everything(child);
    child.finish();
    for (Reader& element : reader.children(key)) {
      (void)element.get<double>("missing");
      element.finish(kAliases);
    }
  }
  reader.finish(kAliases);
  diagnostics.throw_if_any();
}

void check_round_trip(const Value& root) {
  Sources sources;
  const std::string text = to_toml(root);
  FORETRAIN_ASSERT(to_toml(parse_toml(sources, "again", text)) == text, "TOML reads back the same");
}

template <class Parse>
void try_parser(Parse parse, const std::string& text) {
  fuzzing::refusing([&] {
    Sources sources;
    const Value root = parse(sources, "input", text);
    // Outside of `refusing`'s reach: a tree that was read must be writable.
    try {
      check_round_trip(root);
    } catch (const ConfigError& error) {
      fail_assertion("check_round_trip", error.what(), __FILE__, __LINE__);
    }
    exercise(root);
  });
}

void try_assignment(const std::string& text) {
  fuzzing::refusing([&] {
    Sources sources;
    Value root = parse_toml(sources, "base", "a = 1\n[t]\nb = 2\n[[list]]\nc = 3\n");
    apply_set(sources, root, text);
    check_round_trip(root);
    exercise(root);
  });
}

}  // namespace
}  // namespace foretrain::config

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text = foretrain::fuzzing::text_of(data, size);
  foretrain::config::try_parser(foretrain::config::parse_toml, text);
  foretrain::config::try_parser(foretrain::config::parse_json, text);
  foretrain::config::try_assignment(text);
  return 0;
}
