// Keys of a model file about which blocks stand in which layers. Checks across them are reported to
// the reader's diagnostics.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/model.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

/// [mixer] and [feed_forward]: a row of the table and the sizes that it has.
/// REQUIRES: heads and hidden are read.
void read_blocks(config::Reader& reader, Model& model);
/// Reports keys that only softmax attention, or only an MLP, has, where no layer is one.
/// REQUIRES: all other keys are read.
void check_block_keys(config::Reader& reader, const Model& model);
/// Which layers have experts: keys of [mixture_of_experts].
void read_expert_layers(config::Reader& table, Model& model);
/// sliding_window and full_attention_every. REQUIRES: the blocks are read.
void read_attention_layers(config::Reader& reader, Model& model);
/// [vision]; its layers are added to the model's. REQUIRES: everything else is read.
void read_vision(config::Reader& reader, Model& model);

}  // namespace foretrain
