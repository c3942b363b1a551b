// Stands in for CUDA and NCCL where the build found no toolkit, and says what was missing.
// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>

#include "validation/trainer/communicator.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer {
namespace {

// FORETRAIN_CUDA_MISSING comes from CMakeLists.txt: "nvcc", "NCCL".
[[noreturn]] void refuse() {
  throw std::runtime_error("this program was built without CUDA: the build did not find " +
                           std::string(FORETRAIN_CUDA_MISSING));
}

}  // namespace

std::unique_ptr<Device> cuda_device(int /*index*/) { refuse(); }

std::unique_ptr<World> nccl_world(const Rendezvous& /*where*/, Device& /*device*/) { refuse(); }

bool has_cuda() { return false; }

}  // namespace foretrain::trainer
