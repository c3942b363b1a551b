// Layouts that come to one program: only one of them needs to be looked at.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "sim/study/search/space.hpp"

namespace foretrain {

class SamePrograms {
 public:
  explicit SamePrograms(const SearchSpace& space) : space_(space) {}

  /// A layout of the space before this one whose program is the same, op by op, and which is
  /// admissible too:
  ///  - ZeRO-2 in a pipeline that keeps whole gradients until its last micro-batch is ZeRO-1;
  ///  - with one rank that holds the same parameters no ZeRO stage shares anything;
  ///  - schedules that have the same order for this shape, such as all of whole backwards with one
  ///    stage and one micro-batch.
  [[nodiscard]] std::optional<LayoutChoice> before(const LayoutChoice& layout, const Run& run);

 private:
  [[nodiscard]] std::string_view first_schedule(const LayoutChoice& layout, const Run& run);
  [[nodiscard]] static std::int64_t least_zero(const LayoutChoice& layout, const Run& run);

  const SearchSpace& space_;
  std::map<std::array<std::int64_t, 5>, std::string_view> schedules_;
};

}  // namespace foretrain
