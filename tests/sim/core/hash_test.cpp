// The hash is FNV-1a and not merely some hash: other tools can check our fingerprints.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/hash.hpp"

#include "tests/support/catch.hpp"

namespace foretrain {
namespace {

TEST_CASE("the hash gives the test vectors of FNV-1a", "[core]") {
  // IETF draft-eastlake-fnv, appendix C, 64 bits; the empty text gives the offset basis.
  CHECK(fnv1a_64("") == 0xcbf29ce484222325);
  CHECK(fnv1a_64("a") == 0xaf63dc4c8601ec8c);
  CHECK(fnv1a_64("foobar") == 0x85944171f73967e8);
}

TEST_CASE("one step of the hash is exclusive or, then multiplication", "[core]") {
  CHECK(fnv1a_64("\xff") == (0xcbf29ce484222325 ^ 0xff) * 0x100000001b3);
}

TEST_CASE("a hash is printed as sixteen digits, zeros included", "[core]") {
  CHECK(hex(0) == "0000000000000000");
  CHECK(hex(0xcbf29ce484222325) == "cbf29ce484222325");
  CHECK(hex(0xab) == "00000000000000ab");
}

}  // namespace
}  // namespace foretrain
