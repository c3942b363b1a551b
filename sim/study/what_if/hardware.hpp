// The hardware of a run while it is being changed: its files as they are, and what will
// replace keys of them. In a mixed cluster each kind of node has files of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/config/quantity.hpp"
#include "sim/study/what_if/what_if.hpp"

namespace foretrain {

/// One kind of node: what its files say, and the tables that replace keys of them.
struct NodeFiles {
  const Cluster* cluster = nullptr;
  config::Value file;                           ///< the cluster's, as it is read today
  config::Value platform{{}, config::Table()};  ///< replaces keys of it
  config::Value gpu{{}, config::Table()};       ///< and of its GPU's
};

class Hardware {
 public:
  /// Reads what a run file names. Throws ConfigError.
  Hardware(const RunFile& run, config::Sources& sources, const Catalogue& catalogue,
           const std::string& directory, std::string why);
  Hardware(const Hardware&) = delete;
  Hardware& operator=(const Hardware&) = delete;

  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  /// The file that has the fabric; of a mixed cluster the one that names its parts.
  [[nodiscard]] NodeFiles& whole() { return whole_; }
  /// The files that have nodes: that one, or the parts'.
  [[nodiscard]] std::vector<NodeFiles*> kinds();
  /// What the parts' files are called in that list, from anywhere; none where nodes are alike.
  [[nodiscard]] std::vector<std::string> part_names() const;
  /// Nodes of the run, and whether its file counts GPUs instead.
  [[nodiscard]] std::int64_t nodes() const { return nodes_; }
  void set_nodes(std::int64_t nodes) { new_nodes_ = nodes; }
  [[nodiscard]] const std::string& platforms() const { return platforms_; }
  [[nodiscard]] config::Sources& sources() const { return *sources_; }

  // Replace a number, written as "fabric.rate", and note what it was.
  template <class Q>
  void change(config::Value& table, std::string_view path, Q before, const Amount& amount);
  void change_number(config::Value& table, std::string_view path, double before, double after);
  /// The same for an entry of a list that is replaced as a whole.
  template <class Q>
  void change_entry(config::Value& entry, std::string_view name, Q before, const Amount& amount);
  void note(std::string_view path, const std::string& before, const std::string& after);

  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  /// The tables that make a run file's tree ask for all of it.
  [[nodiscard]] config::Value overrides() const;

 private:
  [[nodiscard]] config::Value sourced(config::Value value) const;
  [[nodiscard]] config::Value parts() const;

  Cluster cluster_;
  NodeFiles whole_;
  std::vector<NodeFiles> parts_;
  std::int64_t nodes_ = 1;
  std::int64_t new_nodes_ = 0;
  bool counts_gpus_ = false;
  std::string platforms_;
  config::Sources* sources_;
  std::string why_;
  std::vector<std::string> notes_;
};

/// Says of an amount what is wrong with it.
[[noreturn]] void refuse(const Amount& amount, const std::string& message);
/// The amount as a factor of `before`; refused where it is neither a factor nor a Q.
template <class Q>
[[nodiscard]] double factor_of(Q before, const Amount& amount);
/// Refuses everything but a factor.
[[nodiscard]] double pure_factor(const Amount& amount, const std::string& why);
/// A whole number of at least one, or a factor that makes one of `before`.
[[nodiscard]] std::int64_t count_of(std::int64_t before, const Amount& amount);

/// An entry of a table, null when absent.
[[nodiscard]] const config::Value* entry_of(const config::Value& table, std::string_view key);
/// Puts a value at "a.b.c", making the tables on the way.
void put(config::Value& table, std::string_view path, config::Value value);

}  // namespace foretrain
