// JSON text -> tree. The only file that sees nlohmann's parser, which tells its events but not
// their places: a cursor follows them through the text.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "sim/config/text.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

namespace {

using Json = nlohmann::json;

constexpr std::string_view kBrackets = "[]{}";

/// Builds the tree from the parser's events. Events come in the order of the text, one per token
/// other than commas and colons, so the next token always starts where the cursor stops to skip.
class TreeBuilder {
 public:
  explicit TreeBuilder(const Source& source) : cursor_(source) {}

  bool null() {
    (void)next_token();
    return true;
  }
  bool boolean(bool truth) { return add({next_token(), truth}); }
  bool number_integer(Json::number_integer_t number) {
    return add({next_token(), std::int64_t{number}});
  }
  bool number_unsigned(Json::number_unsigned_t number) {
    const Position position = next_token();
    if (number > static_cast<Json::number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return add({position, static_cast<double>(number)});
    }
    return add({position, static_cast<std::int64_t>(number)});
  }
  bool number_float(Json::number_float_t number, const Json::string_t& /*text*/) {
    return add({next_token(), number});
  }
  bool string(Json::string_t& text) { return add({next_token(), std::move(text)}); }
  bool binary(Json::binary_t& /*bytes*/) { return false; }  // not in JSON text

  bool start_object(std::size_t /*size*/) { return open(Table()); }
  bool start_array(std::size_t /*size*/) { return open(Array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(Json::string_t& name) {
    Frame& frame = open_.back();
    frame.key_position = next_token();
    frame.key = std::move(name);
    if (!frame.keys.insert(frame.key).second) {
      fail_at(frame.key_position, "the key '" + printable(frame.key) + "' is here a second time");
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string& last_token,
                   const Json::exception& error);

  Value take() { return std::move(root_); }

 private:
  struct Frame {
    Value value;
    std::string key;  ///< of the member that comes next
    Position key_position;
    std::unordered_set<std::string> keys;
  };

  /// The place of the next token; the cursor then stands behind it.
  Position next_token() {
    cursor_.skip(" \t\r\n,:");
    const Position position = cursor_.position();
    const char first = cursor_.here();
    cursor_.advance();
    if (first == '"') {
      for (cursor_.skip_to("\"\\"); cursor_.here() == '\\'; cursor_.skip_to("\"\\")) {
        cursor_.advance(2);
      }
      cursor_.advance();
    } else if (kBrackets.find(first) == std::string_view::npos) {
      cursor_.skip_to(" \t\r\n,:[]{}");
    }
    return position;
  }

  template <class Container>
  bool open(Container empty) {
    const Position position = next_token();
    if (open_.size() >= kMaxDepth) {
      fail_at(position, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    open_.push_back({{position, std::move(empty)}, {}, {}, {}});
    return true;
  }

  bool close() {
    (void)next_token();
    Value value = std::move(open_.back().value);
    open_.pop_back();
    return add(std::move(value));
  }

  bool add(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Frame& frame = open_.back();
    if (Table* table = frame.value.table()) {
      table->push_back({std::move(frame.key), frame.key_position, std::move(value)});
    } else {
      std::get<Array>(frame.value.data).push_back(std::move(value));
    }
    return true;
  }

  Cursor cursor_;
  std::vector<Frame> open_;
  Value root_;
};

bool TreeBuilder::parse_error(std::size_t position, const std::string& /*last_token*/,
                              const Json::exception& error) {
  // "[json.exception...] parse error at ...: syntax error while parsing value - REASON; last
  // read: '...'; expected ..." : keep the reason and what was expected.
  std::string_view text = error.what();
  std::string reason = "not valid JSON";
  if (const std::size_t dash = text.find(" - "); dash != std::string_view::npos) {
    text.remove_prefix(dash + 3);
    const std::size_t expected = text.rfind("; expected ");
    reason += ": " + std::string(text.substr(0, std::min(text.find("; last read"), expected)));
    if (expected != std::string_view::npos) {
      reason += text.substr(expected);
    }
  } else if (text.find("number overflow") != std::string_view::npos) {
    reason += ": a number too large";
  }
  // `position` bytes were read, so a comma or colon before the last of them was accepted.
  cursor_.skip(" \t\r\n");
  while ((cursor_.here() == ',' || cursor_.here() == ':') && cursor_.offset() + 1 < position) {
    cursor_.advance();
    cursor_.skip(" \t\r\n");
  }
  fail_at(cursor_.position(), printable(reason, reason.size()));
}

}  // namespace

Value parse_json(Sources& sources, std::string name, std::string text) {
  const Source& source = add_text(sources, std::move(name), std::move(text));
  TreeBuilder builder(source);
  Json::sax_parse(source.text, &builder);
  Value root = builder.take();
  if (root.table() == nullptr) {
    fail_at({&source, 1, 1}, "expected a JSON object");
  }
  root.position = {&source, 0, 0};
  return root;
}

}  // namespace foretrain::config
