// What a prediction is made of: every quantity of a step with its formula, the numbers that go in,
// where the formula comes from, and what the lowered program or the simulation has for it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "sim/study/simulate.hpp"

namespace foretrain {

/// One quantity. `value` follows from the formula alone; `counted` is read off the program or the
/// simulated step, which know nothing of the formula.
struct Term {
  std::string quantity;  ///< "tokens per step D"
  std::string formula;   ///< in the symbols of the explanation: "B s"
  std::string numbers;   ///< the formula with numbers put in: "1536 x 2048"
  double value = 0;
  std::string unit;    ///< SI base unit: "FLOP", "B", "s"; empty for plain numbers
  std::string source;  ///< paper and section, or the file that a number is from
  std::optional<double> counted;
  std::string counted_where;      ///< "kernels of all GPUs", "simulated step"
  std::optional<Seconds> time{};  ///< of a kernel, by the GPU file
};

struct Chapter {
  std::string title;
  std::vector<Term> terms;
};

struct Explanation {
  std::string title;
  std::string layout;
  std::vector<Chapter> chapters;
};

/// REQUIRES: the simulation is of this run.
[[nodiscard]] Explanation explain(const Run& run, const Simulation& simulation);

[[nodiscard]] std::string explain_text(const Explanation& explanation);
/// One object: title, layout, chapters with terms; values in SI base units.
[[nodiscard]] std::string explain_json(const Explanation& explanation);
/// One row for each term.
[[nodiscard]] std::string explain_csv(const Explanation& explanation);

// The chapters, one file each.
[[nodiscard]] Chapter explain_work(const Run& run, const Simulation& simulation);
/// Every kind of layer that the model has.
[[nodiscard]] std::vector<Chapter> explain_layers(const Run& run);
[[nodiscard]] Chapter explain_memory(const Run& run, const Simulation& simulation);
[[nodiscard]] Chapter explain_communication(const Run& run, const Simulation& simulation);
[[nodiscard]] Chapter explain_pipeline(const Run& run, const Simulation& simulation);

/// The kernel that a step runs; nothing for what it sends.
[[nodiscard]] std::optional<Kernel> kernel_of(const Step& step);
/// "387.9 PFLOP": four significant digits and an SI prefix.
[[nodiscard]] std::string si(double value, const std::string& unit);
/// A count as a formula shows it: "20.55 G", "2048".
[[nodiscard]] std::string plain(double value);

}  // namespace foretrain
