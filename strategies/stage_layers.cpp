// SPDX-License-Identifier: Apache-2.0
#include "strategies/stage_layers.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace foretrain {
namespace {

std::string text(std::int64_t number) { return std::to_string(number); }

std::int64_t num_chunks(const Run& run) {
  return run.parallel.pipeline * run.parallel.virtual_stages;
}

std::int64_t layers_at(const Run& run, std::int64_t place) {
  if (!run.parallel.stage_layers.empty()) {
    return run.parallel.stage_layers[static_cast<std::size_t>(place)];
  }
  const std::int64_t chunks = num_chunks(run);
  if (!run.parallel.embedding_as_layer) {
    return run.model.layers / chunks;
  }
  return (run.model.layers + 2) / chunks - (place == 0 ? 1 : 0) - (place == chunks - 1 ? 1 : 0);
}

std::string stages_text(const Run& run) {
  return "pipeline " + text(run.parallel.pipeline) + " x virtual_stages " +
         text(run.parallel.virtual_stages) + " = " + text(num_chunks(run));
}

void check_list(const RunFile& file, const Run& run, config::Diagnostics& diagnostics) {
  const std::vector<std::int64_t>& list = run.parallel.stage_layers;
  const auto fail = [&](const std::string& message) {
    diagnostics.add(file.stage_layers_position, "parallel.stage_layers", message);
  };
  if (static_cast<std::int64_t>(list.size()) != num_chunks(run)) {
    fail("stage_layers has " + text(static_cast<std::int64_t>(list.size())) + " entries, but " +
         stages_text(run));
    return;
  }
  const std::int64_t sum = std::accumulate(list.begin(), list.end(), std::int64_t{0});
  if (sum != run.model.layers) {
    fail("stage_layers has " + text(sum) + " layers in all, the model " + text(run.model.layers));
  }
  // The first and the last have the embedding and the head to do.
  if (list.size() > 2 && std::find(list.begin() + 1, list.end() - 1, 0) != list.end() - 1) {
    fail("only the first and the last of stage_layers can be without layers");
  }
}

void check_counted_embedding(const RunFile& file, const Run& run,
                             config::Diagnostics& diagnostics) {
  const auto fail = [&](const std::string& message) {
    diagnostics.add(file.embedding_as_layer_position, "parallel.embedding_as_layer", message);
  };
  if (run.parallel.pipeline == 1) {
    fail("embedding_as_layer has no effect with pipeline 1");
  } else if ((run.model.layers + 2) % num_chunks(run) != 0) {
    fail(stages_text(run) + " does not divide the " + text(run.model.layers) +
         " layers of the model with embedding and head, " + text(run.model.layers + 2));
  }
}

}  // namespace

std::int64_t layers_of(const Run& run, std::int64_t stage, std::int64_t chunk) {
  return layers_at(run, chunk * run.parallel.pipeline + stage);
}

std::int64_t first_layer_of(const Run& run, std::int64_t stage, std::int64_t chunk) {
  std::int64_t sum = 0;
  for (std::int64_t place = 0; place < chunk * run.parallel.pipeline + stage; ++place) {
    sum += layers_at(run, place);
  }
  return sum;
}

void check_stage_layers(const RunFile& file, const Run& run, config::Diagnostics& diagnostics) {
  const bool has_list = !run.parallel.stage_layers.empty();
  if (has_list && run.parallel.embedding_as_layer) {
    diagnostics.add(file.embedding_as_layer_position, "parallel.embedding_as_layer",
                    "embedding_as_layer has no effect beside stage_layers");
  } else if (has_list) {
    check_list(file, run, diagnostics);
  } else if (run.parallel.embedding_as_layer) {
    check_counted_embedding(file, run, diagnostics);
  } else if (run.model.layers % num_chunks(run) != 0) {
    diagnostics.add(file.pipeline_position, "parallel.pipeline",
                    stages_text(run) + " does not divide the " + text(run.model.layers) +
                        " layers of the model; stage_layers = [...] deals them out one by one, "
                        "embedding_as_layer = true counts embedding and head as two more");
  }
}

}  // namespace foretrain
