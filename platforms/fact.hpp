// A number of a platform file as a report shows it: its name, its value in words, its origin.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/config/reader.hpp"

namespace foretrain {

using config::Sourced;

struct Fact {
  std::string name;   ///< as in the file, such as "gemm.bf16.efficiency"
  std::string value;  ///< with its unit
  std::string source;
  config::Basis basis = config::Basis::datasheet;
};

/// A share, factor or count in at most four significant digits.
[[nodiscard]] std::string show_number(double value);

template <class T>
[[nodiscard]] Fact fact(std::string name, const Sourced<T>& number) {
  return {std::move(name), config::show(number.value), number.source, number.basis};
}
[[nodiscard]] Fact fact(std::string name, const Sourced<double>& number);

/// One indented line per fact, in columns.
[[nodiscard]] std::string fact_table(const std::vector<Fact>& facts);
/// The names of those that are transferred or assumed, in order.
[[nodiscard]] std::vector<std::string> unmeasured(const std::vector<Fact>& facts);

}  // namespace foretrain
