// SPDX-License-Identifier: Apache-2.0
#include "models/check_shape.hpp"

#include <fmt/format.h>

#include "models/count.hpp"

namespace foretrain {

std::int64_t head_dim_of(config::Reader& reader, const Model& model, const ShapeKeys& keys) {
  if (model.hidden % model.heads == 0) {
    return model.hidden / model.heads;
  }
  const std::string advice =
      keys.head_dim.empty()
          ? ""
          : fmt::format("; give {} if it is not {} / {}", keys.head_dim, keys.hidden, keys.heads);
  reader.fail(keys.heads, fmt::format("{} = {} is not a multiple of {} = {}{}", keys.hidden,
                                      model.hidden, keys.heads, model.heads, advice));
  return 1;
}

void check_shape(config::Reader& reader, const Model& model, const ShapeKeys& keys) {
  if (model.heads % model.kv_heads != 0) {
    reader.fail(keys.kv_heads,
                fmt::format("{} = {} is not a multiple of {} = {}: each key-value head serves the "
                            "same number of query heads",
                            keys.heads, model.heads, keys.kv_heads, model.kv_heads));
  }
  if (const auto count = rough_parameters(model); count > static_cast<double>(kMostParameters)) {
    reader.fail(keys.layers, fmt::format("{} layers of {} = {} make a model of {:.1e} parameters; "
                                         "at most {} are supported",
                                         model.layers, keys.hidden, model.hidden, count,
                                         with_commas(kMostParameters)));
  }
}

std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

}  // namespace foretrain
