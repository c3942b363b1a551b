// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/cpu_device.hpp"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <Eigen/Core>

namespace foretrain::trainer {
namespace {

constexpr std::size_t kVectorBytes = 64;  // a cache line, and the widest vector
// Memory of this size and more is asked for in huge pages, which spare matrix products table walks.
constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  const std::string key = "model name";
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0 && line.find(": ") != std::string::npos) {
      return line.substr(line.find(": ") + 2);
    }
  }
  return "a processor";
}

}  // namespace

std::string CpuDevice::description() const { return processor_name() + ", one core"; }

std::vector<std::pair<std::string, std::string>> CpuDevice::versions() const {
  utsname system{};
  uname(&system);
  return {
      {"eigen", std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
                    "." + std::to_string(EIGEN_MINOR_VERSION)},
      {"vectors", Eigen::SimdInstructionSetsInUse()},
      {"compiler", __VERSION__},
      {"kernel", std::string(system.sysname) + " " + system.release}};
}

std::int64_t CpuDevice::used_bytes() const {
  std::ifstream file("/proc/self/statm");
  std::int64_t pages = 0;
  std::int64_t resident = 0;
  return file >> pages >> resident ? resident * sysconf(_SC_PAGESIZE) : 0;
}

// An empty vector of the caller's has no address to copy from or to.
void CpuDevice::upload(const Tensor& to, const void* from) {
  if (to.count > 0) {
    std::memcpy(to.data, from, to.bytes());
  }
}

void CpuDevice::download(void* to, const Tensor& from) {
  if (from.count > 0) {
    std::memcpy(to, from.data, from.bytes());
  }
}

Stream CpuDevice::add_stream(std::string_view name) {
  name_stream(name);
  return streams_.add();
}

std::shared_ptr<void> CpuDevice::allocate_bytes(std::size_t bytes) {
  const std::size_t alignment = bytes >= kHugePageBytes ? kHugePageBytes : kVectorBytes;
  const std::size_t whole = (bytes / alignment + 1) * alignment;
  std::shared_ptr<void> memory(std::aligned_alloc(alignment, whole), std::free);
  if (memory == nullptr) {
    throw std::runtime_error("no memory for " + std::to_string(bytes) + " bytes");
  }
  if (alignment == kHugePageBytes) {
    madvise(memory.get(), whole, MADV_HUGEPAGE);  // a hint: the answer does not matter
  }
  std::memset(memory.get(), 0, bytes);
  return memory;
}

std::unique_ptr<Device> cpu_device() { return std::make_unique<CpuDevice>(); }

}  // namespace foretrain::trainer
