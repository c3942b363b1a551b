// SPDX-License-Identifier: Apache-2.0
// The few functions of nvml.h that are called, with their numbers (NVML API reference).
#include "validation/trainer/cuda/driver.hpp"

#include <array>
#include <dlfcn.h>
#include <memory>

namespace foretrain::trainer::cuda {
namespace {

using Handle = void*;
constexpr int kSuccess = 0;
constexpr int kStreamingClock = 1;  // NVML_CLOCK_SM
constexpr int kMemoryClock = 2;     // NVML_CLOCK_MEM

struct Close {
  void operator()(void* library) const { dlclose(library); }
};

class Nvml {
 public:
  Nvml() : library_(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)) {}

  template <class... Parameters, class... Arguments>
  [[nodiscard]] bool call(int (* /*type*/)(Parameters...), const char* name,
                          Arguments... arguments) const {
    using Function = int (*)(Parameters...);
    void* symbol = library_ == nullptr ? nullptr : dlsym(library_.get(), name);
    return symbol != nullptr && reinterpret_cast<Function>(symbol)(arguments...) == kSuccess;
  }

 private:
  std::unique_ptr<void, Close> library_;
};

using Plain = int (*)();
using Text = int (*)(char*, unsigned);
using ByBusId = int (*)(const char*, Handle*);
using Clock = int (*)(Handle, int, unsigned*);
using Number = int (*)(Handle, unsigned*);

}  // namespace

std::vector<std::pair<std::string, std::string>> driver_facts(const std::string& bus_id) {
  std::vector<std::pair<std::string, std::string>> facts;
  const Nvml nvml;
  if (!nvml.call(Plain{}, "nvmlInit_v2")) {
    return facts;
  }
  constexpr unsigned kLength = 96;
  std::array<char, kLength> text{};
  if (nvml.call(Text{}, "nvmlSystemGetDriverVersion", text.data(), kLength)) {
    facts.emplace_back("driver", text.data());
  }
  Handle gpu = nullptr;
  unsigned value = 0;
  if (nvml.call(ByBusId{}, "nvmlDeviceGetHandleByPciBusId_v2", bus_id.c_str(), &gpu)) {
    if (nvml.call(Clock{}, "nvmlDeviceGetClockInfo", gpu, kStreamingClock, &value)) {
      facts.emplace_back("clock now", std::to_string(value) + " MHz");
    }
    if (nvml.call(Clock{}, "nvmlDeviceGetMaxClockInfo", gpu, kStreamingClock, &value)) {
      facts.emplace_back("clock at most", std::to_string(value) + " MHz");
    }
    if (nvml.call(Clock{}, "nvmlDeviceGetClockInfo", gpu, kMemoryClock, &value)) {
      facts.emplace_back("memory clock now", std::to_string(value) + " MHz");
    }
    if (nvml.call(Number{}, "nvmlDeviceGetEnforcedPowerLimit", gpu, &value)) {
      facts.emplace_back("power limit", std::to_string(value / 1000) + " W");  // in mW
    }
  }
  static_cast<void>(nvml.call(Plain{}, "nvmlShutdown"));
  return facts;
}

}  // namespace foretrain::trainer::cuda
