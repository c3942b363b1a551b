// The points of a sweep: every combination of values of the varied keys, by number, never listed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretrain::sweep {

/// A key of the run file and what it is set to, as --set has them.
struct Assignment {
  std::string key;
  std::string value;
  [[nodiscard]] std::string text() const { return key + "=" + value; }
  friend bool operator==(const Assignment&, const Assignment&) = default;
};

/// Keys that change together, and their values: `values[k][i]` is the i-th of `keys[k]`.
struct Axis {
  std::vector<std::string> keys;
  std::vector<std::vector<std::string>> values;  ///< of equal lengths, at least 1
  [[nodiscard]] std::uint64_t size() const { return values.front().size(); }
};

/// The product of axes. The last axis changes fastest.
class Grid {
 public:
  /// Throws ConfigError when there are more than a billion points.
  explicit Grid(std::vector<Axis> axes);

  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] const std::vector<Axis>& axes() const { return axes_; }
  [[nodiscard]] std::vector<std::string> keys() const;
  /// What point `index` sets, in the order of keys(). REQUIRES: index < size().
  [[nodiscard]] std::vector<Assignment> point(std::uint64_t index) const;

  /// "parallel.tensor=1,2,4 nodes=1,2", for people.
  [[nodiscard]] std::string text() const;
  /// As text that read_grid understands; equal for equal grids only.
  [[nodiscard]] std::string to_json() const;

 private:
  std::vector<Axis> axes_;
  std::uint64_t size_ = 1;
};

/// Throws ConfigError unless `text` comes from Grid::to_json.
[[nodiscard]] Grid grid_from_json(const std::string& text);

/// Each of `varied` is "KEY=VALUE,VALUE,..." and an axis of its own; those of `zipped` are one axis
/// together, the last. A value may be "2..16" (doubling) or "4..16+4" (in steps of 4); commas
/// within quotes, brackets and braces do not part values. Throws ConfigError.
[[nodiscard]] Grid parse_grid(const std::vector<std::string>& varied,
                              const std::vector<std::string>& zipped);

/// Every n-th point: those whose index is `number` - 1 modulo `count`.
struct Shard {
  std::uint64_t number = 1;
  std::uint64_t count = 1;
  /// How many of `points` points it has.
  [[nodiscard]] std::uint64_t size(std::uint64_t points) const {
    return points < number ? 0 : (points - number) / count + 1;
  }
};

/// "2/8". Throws ConfigError.
[[nodiscard]] Shard parse_shard(const std::string& text);

}  // namespace foretrain::sweep
