// Ranks as threads of one process, each with a processor and a Gloo world of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::testing {

struct RankOfTest {
  trainer::Device& device;
  trainer::World& world;

  /// Numbers in the rank's memory, of a type that its processor computes with.
  [[nodiscard]] trainer::Memory upload(const std::vector<float>& numbers) const;
  [[nodiscard]] static std::vector<float> download(const trainer::Tensor& tensor);
  /// Over all ranks of the world.
  [[nodiscard]] std::unique_ptr<trainer::Communicator> all(const std::string& name = "all") const;
};

/// Runs `body` on each rank at once; results by rank. The first exception is thrown here. Catch2's
/// checks are for one thread: bodies return what is to be checked.
std::vector<std::vector<float>> run_ranks(
    int size, const std::function<std::vector<float>(RankOfTest&)>& body,
    std::chrono::milliseconds timeout = std::chrono::seconds(60));

}  // namespace foretrain::testing
