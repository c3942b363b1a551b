// SPDX-License-Identifier: Apache-2.0
#include "strategies/architecture.hpp"

#include <string>

#include "models/blocks/catalog.hpp"

namespace foretrain {
namespace {

class Architecture {
 public:
  Architecture(const RunFile& file, const Run& run, config::Diagnostics& diagnostics)
      : file_(file), run_(run), diagnostics_(diagnostics) {}

  void check() {
    if (run_.model.vision) {
      images(*run_.model.vision);
    }
    if (run_.model.vision && !run_.training.tuning.is_none()) {
      const Tuning& tuning = run_.training.tuning;
      const bool is_lora = tuning.lora_rank > 0;
      diagnostics_.add(is_lora ? tuning.lora_position : tuning.frozen_position,
                       is_lora ? "training.lora" : "training.frozen",
                       "with a vision tower is not modelled: tower, projector and language model "
                       "cannot be told apart yet");
    }
    if (run_.parallel.context > 1) {
      context();
    }
    if (run_.model.multi_token_predictions > 0) {
      divides("hidden", 2 * run_.model.hidden);
    }
  }

 private:
  void images(const VisionTower& tower) {
    divides("vision.heads", tower.heads);
    divides("vision.ffn", tower.ffn);
    if (tower.language_tokens() > run_.training.sequence_length) {
      diagnostics_.add(file_.sequence_position, "training.sequence_length",
                       "sequence_length " + std::to_string(run_.training.sequence_length) +
                           " has no room for the " + std::to_string(tower.language_tokens()) +
                           " tokens of the model's images");
    }
  }

  void context() {
    const std::string with = "context " + std::to_string(run_.parallel.context) + " with ";
    if (run_.model.vision) {
      refuse_context(with + "a vision tower is not modelled: how ranks share images is not known");
      return;
    }
    for (std::size_t kind = 0; kind < num_layer_kinds(run_.model); ++kind) {
      const Model alike = layer_model(run_.model, kind);
      const std::string mixer = with + "mixer '" + alike.mixer.name + "' is not modelled";
      if (mixer_of(alike).functions().has_state) {
        refuse_context(mixer + ": a state passes from rank to rank");
      } else if (run_.parallel.tensor > alike.kv_heads) {
        refuse_context(with + "more tensor-parallel ranks than kv_heads " +
                       std::to_string(alike.kv_heads) + " is not modelled");
      } else {
        continue;
      }
      return;
    }
  }
  void refuse_context(const std::string& reason) {
    diagnostics_.add(file_.context_position, "parallel.context", reason);
  }

  void divides(const std::string& what, std::int64_t size) {
    if (size % run_.parallel.tensor != 0) {
      diagnostics_.add(file_.tensor_position, "parallel.tensor",
                       "tensor " + std::to_string(run_.parallel.tensor) +
                           " does not divide the model's " + what + " " + std::to_string(size));
    }
  }

  const RunFile& file_;
  const Run& run_;
  config::Diagnostics& diagnostics_;
};

}  // namespace

void check_architecture(const RunFile& file, const Run& run, config::Diagnostics& diagnostics) {
  Architecture(file, run, diagnostics).check();
}

}  // namespace foretrain
