// Model files: whatever is read without a mistake has a parameter count and a FLOP count.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "models/model.hpp"
#include "sim/config/reader.hpp"
#include "sim/config/value.hpp"
#include "tests/fuzz/fuzzing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  foretrain::fuzzing::refusing([&] {
    foretrain::config::Sources sources;
    const foretrain::config::Value root = foretrain::config::parse_toml(
        sources, "model.toml", foretrain::fuzzing::text_of(data, size));
    foretrain::config::Diagnostics diagnostics;
    foretrain::config::Reader reader(root, "", diagnostics);
    const foretrain::Model model = foretrain::read_model(reader);
    diagnostics.throw_if_any();
    FORETRAIN_ASSERT(foretrain::parameters(model) > 0, "a model has parameters");
    FORETRAIN_ASSERT(foretrain::forward_flops(model, 2048).value > 0, "a model does work");
  });
  return 0;
}
