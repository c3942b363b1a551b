// Collecting mistakes, so that one run shows all of them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/config/reader.hpp"
#include "sim/config/text.hpp"

namespace foretrain::config {

namespace {

constexpr std::size_t kMostShown = 100;

}  // namespace

void Diagnostics::add(const Position& position, std::string key, std::string message) {
  if (diagnostics_.size() < kMostShown) {  // finding the line of each takes a walk through the text
    diagnostics_.push_back(diagnose(position, std::move(key), std::move(message)));
  }
  ++count_;
}

void Diagnostics::add(Diagnostic diagnostic) {
  ++count_;
  if (diagnostics_.size() < kMostShown) {
    diagnostics_.push_back(std::move(diagnostic));
  }
}

void Diagnostics::throw_if_any() {
  if (diagnostics_.empty()) {
    return;
  }
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
                   });
  if (count_ > diagnostics_.size()) {
    Diagnostic rest;
    rest.message = "and " + std::to_string(count_ - diagnostics_.size()) + " more mistakes";
    diagnostics_.push_back(std::move(rest));
  }
  throw ConfigError(std::exchange(diagnostics_, {}));
}

}  // namespace foretrain::config
