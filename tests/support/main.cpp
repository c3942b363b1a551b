// SPDX-License-Identifier: Apache-2.0
// The main function of the test programs under Catch2 v2; v3 brings its own in a library.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
