// Quotes as RFC 4180 wants them, which other programs rely on.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/csv.hpp"

#include "tests/support/catch.hpp"

namespace foretrain {
namespace {

TEST_CASE("a cell of CSV is quoted where RFC 4180 wants it", "[core]") {
  CHECK(csv_cell("").empty());
  CHECK(csv_cell("1.5 GB; 2 of 3") == "1.5 GB; 2 of 3");
  // Section 2, rules 6 and 7: commas, line breaks and quotes; a quote within is doubled.
  CHECK(csv_cell("no, it says") == "\"no, it says\"");
  CHECK(csv_cell("one\ntwo") == "\"one\ntwo\"");
  CHECK(csv_cell("one\r") == "\"one\r\"");
  CHECK(csv_cell("\"no\"") == "\"\"\"no\"\"\"");
  CHECK(csv_cell("AMD EPYC, \"one\" core") == "\"AMD EPYC, \"\"one\"\" core\"");
}

}  // namespace
}  // namespace foretrain
