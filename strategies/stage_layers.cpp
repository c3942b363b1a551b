// SPDX-License-Identifier: Apache-2.0
#include "strategies/stage_layers.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace foretrain {
namespace {

std::string text(std::int64_t number) { return std::to_string(number); }

PipelineShape shape_of(const Run& run) {
  PipelineShape shape;
  shape.stages = static_cast<std::int32_t>(run.parallel.pipeline);
  shape.virtual_stages = static_cast<std::int32_t>(run.parallel.virtual_stages);
  return shape;
}

std::int64_t place(const Run& run, std::int64_t stage, std::int64_t chunk) {
  return place_of(run.placement(), shape_of(run), static_cast<std::int32_t>(stage),
                  static_cast<std::int32_t>(chunk));
}

std::int64_t num_places(const Run& run) { return num_places(run.placement(), shape_of(run)); }

std::int64_t layers_at(const Run& run, std::int64_t place) {
  if (!run.parallel.stage_layers.empty()) {
    return run.parallel.stage_layers[static_cast<std::size_t>(place)];
  }
  const std::int64_t chunks = num_places(run);
  if (!run.parallel.embedding_as_layer) {
    return run.model.layers / chunks;
  }
  return (run.model.layers + 2) / chunks - (place == 0 ? 1 : 0) - (place == chunks - 1 ? 1 : 0);
}

std::string stages_text(const Run& run) {
  if (copies(run.placement()) > 1) {
    return "pipeline " + text(run.parallel.pipeline) + ", of which each stage holds two,";
  }
  return "pipeline " + text(run.parallel.pipeline) + " x virtual_stages " +
         text(run.parallel.virtual_stages) + " = " + text(num_places(run));
}

void check_list(const RunFile& file, const Run& run, config::Diagnostics& diagnostics) {
  const std::vector<std::int64_t>& list = run.parallel.stage_layers;
  const auto fail = [&](const std::string& message) {
    diagnostics.add(file.stage_layers_position, "parallel.stage_layers", message);
  };
  if (static_cast<std::int64_t>(list.size()) != num_places(run)) {
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
  } else if ((run.model.layers + 2) % num_places(run) != 0) {
    fail(stages_text(run) + " does not divide the " + text(run.model.layers) +
         " layers of the model with embedding and head, " + text(run.model.layers + 2));
  }
}

}  // namespace

std::int64_t layers_of(const Run& run, std::int64_t stage, std::int64_t chunk) {
  return layers_at(run, place(run, stage, chunk));
}

std::int64_t first_layer_of(const Run& run, std::int64_t stage, std::int64_t chunk) {
  std::int64_t sum = 0;
  for (std::int64_t before = 0; before < place(run, stage, chunk); ++before) {
    sum += layers_at(run, before);
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
  } else if (run.model.layers % num_places(run) != 0) {
    diagnostics.add(file.pipeline_position, "parallel.pipeline",
                    stages_text(run) + " does not divide the " + text(run.model.layers) +
                        " layers of the model; stage_layers = [...] deals them out one by one, "
                        "embedding_as_layer = true counts embedding and head as two more");
  }
}

}  // namespace foretrain
