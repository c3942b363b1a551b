// The trainer's own kernels, run by the host (emulation/emulation.hpp).
// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/cuda/emulation/emulation.hpp"
#include "tests/validation/trainer/cuda/gpu.hpp"

namespace foretrain::testing {

std::unique_ptr<trainer::Device> find_gpu() { return trainer::cuda_device(0); }

void set_thread_order(unsigned order) { emulation::set_order(order); }

}  // namespace foretrain::testing
