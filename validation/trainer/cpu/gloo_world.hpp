// The Gloo world with a timeout of one's own; gloo_world() waits for two minutes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>

#include "validation/trainer/communicator.hpp"

namespace foretrain::trainer {

/// `timeout` is for each wait of a collective, and for finding the other ranks.
[[nodiscard]] std::unique_ptr<World> gloo_world(const Rendezvous& where, Device& device,
                                                std::chrono::milliseconds timeout);

}  // namespace foretrain::trainer
