// Trees written as TOML read back as the same trees: chosen awkward ones, then random ones.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <variant>

#include "sim/config/value.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

bool is_same(const Value& a, const Value& b);

bool is_same(const Entry& a, const Entry& b) { return a.key == b.key && is_same(a.value, b.value); }

template <class Container>
bool is_same_list(const Container& a, const Container& b) {
  bool is_equal = a.size() == b.size();
  for (std::size_t i = 0; is_equal && i < a.size(); ++i) {
    is_equal = is_same(a[i], b[i]);
  }
  return is_equal;
}

bool is_same(const Value& a, const Value& b) {
  if (a.data.index() != b.data.index()) {
    return false;
  }
  if (a.table() != nullptr) {
    return is_same_list(*a.table(), *b.table());
  }
  if (const Array* array = std::get_if<Array>(&a.data)) {
    return is_same_list(*array, std::get<Array>(b.data));
  }
  if (const double* number = std::get_if<double>(&a.data)) {
    return *number == std::get<double>(b.data);
  }
  if (const auto* text = std::get_if<std::string>(&a.data)) {
    return *text == std::get<std::string>(b.data);
  }
  if (const auto* whole = std::get_if<std::int64_t>(&a.data)) {
    return *whole == std::get<std::int64_t>(b.data);
  }
  return std::get<bool>(a.data) == std::get<bool>(b.data);
}

Value value(decltype(Value::data) data) { return {{}, std::move(data)}; }
Entry entry(std::string key, decltype(Value::data) data) {
  return {std::move(key), {}, value(std::move(data))};
}

void check_round_trip(const Value& tree) {
  const std::string text = to_toml(tree);
  CAPTURE(text);
  Sources sources;
  const Value again = parse_toml(sources, "again", text);
  CHECK(is_same(tree, again));
  CHECK(to_toml(again) == text);
}

TEST_CASE("plain keys come first, then sections, in the order of the tree", "[config]") {
  const Value tree = value(
      Table{entry("b", std::int64_t{1}), entry("a", 0.5),
            entry("t", Table{entry("x", true), entry("u", Table{entry("y", std::string("s"))})}),
            entry("list", Array{value(Table{entry("k", std::int64_t{1})}), value(Table{})})});
  CHECK(to_toml(tree) ==
        "b = 1\na = 0.5\n\n[t]\nx = true\n\n[t.u]\ny = \"s\"\n\n[[list]]\nk = 1\n\n[[list]]\n");
  check_round_trip(tree);
}

TEST_CASE("a table before a plain key is written in braces to keep its place", "[config]") {
  const Value tree = value(Table{entry("t", Table{entry("x", std::int64_t{1})}),
                                 entry("list", Array{value(Table{})}), entry("a", true)});
  CHECK(to_toml(tree) == "t = { x = 1 }\nlist = [{}]\na = true\n");
  check_round_trip(tree);
}

TEST_CASE("numbers are written so that they read back the same", "[config]") {
  check_round_trip(
      value(Table{entry("a", std::numeric_limits<std::int64_t>::min()),
                  entry("b", std::numeric_limits<std::int64_t>::max()), entry("c", 0.1),
                  entry("d", 1e300), entry("e", 5e-324), entry("f", 3.0), entry("g", -0.0),
                  entry("h", 1e22), entry("i", 123456789012345680.0)}));
}

TEST_CASE("texts and keys are escaped where TOML wants it", "[config]") {
  check_round_trip(
      value(Table{entry("bare-key_1",
                        std::string("quote \" backslash \\ newline \n tab \t bell \a delete \x7f")),
                  entry("", std::string()), entry("dotted.key", std::string("# no comment")),
                  entry("with \"quotes\"", std::string("\xc3\xa4 umlaut")),
                  entry("zero", std::string("a\0b", 3)),
                  entry("quoted table \n", Table{entry("x", Table{entry("y", true)})})}));
}

TEST_CASE("empty and mixed containers survive", "[config]") {
  check_round_trip(value(Table{}));
  check_round_trip(value(Table{
      entry("empty", Array{}), entry("nested", Array{value(Array{}), value(Array{value(true)})}),
      entry("mixed", Array{value(Table{}), value(std::int64_t{1}), value(std::string("x"))}),
      entry("table", Table{})}));
}

/// A random tree of few levels, whose keys and texts are short and often awkward.
class RandomTree {
 public:
  explicit RandomTree(unsigned seed) : random_(seed) {}

  Table table(int depth) {
    Table result;
    const int size = below(5);
    for (int i = 0; i < size; ++i) {
      result.push_back({text() + std::to_string(i), {}, any(depth)});
    }
    return result;
  }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  std::string text() {
    constexpr std::array<const char*, 10> kPieces = {
        "a", "B", ".", "\"", "\\", "\n", " ", "\xe2\x82\xac", "=", "]"};
    std::string result;
    for (int i = below(4); i > 0; --i) {
      result += kPieces[static_cast<std::size_t>(below(10))];
    }
    return result;
  }

  Value any(int depth) {
    switch (below(depth > 0 ? 7 : 4)) {
      case 0:
        return value(below(2) == 0);
      case 1:
        return value(static_cast<std::int64_t>(random_()) - (std::int64_t{1} << 31));
      case 2:
        return value((below(2000) - 1000) / 7.0);
      case 3:
        return value(text());
      case 4: {
        Array array;
        for (int i = below(4); i > 0; --i) {
          array.push_back(any(depth - 1));
        }
        return value(std::move(array));
      }
      case 5: {
        Array tables;
        for (int i = below(3); i > 0; --i) {
          tables.push_back(value(table(depth - 1)));
        }
        return value(std::move(tables));
      }
      default:
        return value(table(depth - 1));
    }
  }

  std::mt19937 random_;
};

TEST_CASE("random trees read back as they were written", "[config]") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    check_round_trip(value(RandomTree(seed).table(4)));
  }
}

}  // namespace
}  // namespace foretrain::config
