// Catch2 in either of its two shapes: version 3 (many headers) or version 2 (one).
// Tests write Catch::Approx and Catch::Matchers::WithinRel, names that both know with this file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>

namespace Catch {
using Detail::Approx;
}
#endif
