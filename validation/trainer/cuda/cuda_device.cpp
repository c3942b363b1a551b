// SPDX-License-Identifier: Apache-2.0
// Memory, streams, events and what the GPU says about itself; kernels are in cuda_kernels.cpp.
#include "validation/trainer/cuda/cuda_device.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include "validation/trainer/cuda/check.hpp"
#include "validation/trainer/cuda/driver.hpp"

namespace foretrain::trainer {
namespace cuda {
namespace {

// More than a step of a deep pipeline records; a wait for one that is older is refused.
constexpr std::size_t kEvents = std::size_t{1} << 16;

// 13000 is 13.0.
std::string cuda_version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

int select_device(int index) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    throw std::runtime_error("no GPU: CUDA finds none on this machine");
  }
  if (index < 0 || index >= count) {
    throw std::runtime_error("no GPU " + std::to_string(index) + ": this machine has " +
                             std::to_string(count));
  }
  CUDA_CHECK(cudaSetDevice(index));
  int major = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  constexpr int kFirstWithBf16 = 8;  // tensor cores for bf16 came with compute capability 8.0
  if (major < kFirstWithBf16) {
    throw std::runtime_error("GPU " + std::to_string(index) +
                             " has no bf16 tensor cores (compute capability below 8.0)");
  }
  return index;
}

int attribute(cudaDeviceAttr what, int index) {
  int value = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&value, what, index));
  return value;
}

}  // namespace

CudaDevice::CudaDevice(int index) : index_(select_device(index)) { add_cuda_stream(); }

CudaDevice::~CudaDevice() {
  cudaDeviceSynchronize();
  for (cudaEvent_t event : events_) {
    cudaEventDestroy(event);
  }
  for (cudaStream_t stream : streams_) {
    cudaStreamDestroy(stream);
  }
}

// A stream that does not wait for the legacy default stream.
void CudaDevice::add_cuda_stream() {
  cudaStream_t stream = nullptr;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  streams_.push_back(stream);
  scratch_.emplace_back();
  workspaces_.emplace_back();
}

std::string CudaDevice::bus_id() const {
  constexpr int kLength = 32;
  std::array<char, kLength> text{};
  CUDA_CHECK(cudaDeviceGetPCIBusId(text.data(), kLength, index_));
  return text.data();
}

std::string CudaDevice::description() const {
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, index_));
  return static_cast<const char*>(properties.name);
}

std::vector<std::pair<std::string, std::string>> CudaDevice::versions() const {
  constexpr int kKilo = 1000;
  int driver = 0;
  int runtime = 0;
  CUDA_CHECK(cudaDriverGetVersion(&driver));
  CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  std::vector<std::pair<std::string, std::string>> all = {
      {"gpu", description()},
      {"compute capability",
       std::to_string(attribute(cudaDevAttrComputeCapabilityMajor, index_)) + "." +
           std::to_string(attribute(cudaDevAttrComputeCapabilityMinor, index_))},
      {"multiprocessors", std::to_string(attribute(cudaDevAttrMultiProcessorCount, index_))},
      {"rated clock", std::to_string(attribute(cudaDevAttrClockRate, index_) / kKilo) + " MHz"},
      {"rated memory clock",
       std::to_string(attribute(cudaDevAttrMemoryClockRate, index_) / kKilo) + " MHz"},
      {"CUDA of the driver", cuda_version(driver)},
      {"CUDA runtime", cuda_version(runtime)},
      {"cuBLASLt", std::to_string(cublasLtGetVersion())}};
  const auto facts = driver_facts(bus_id());
  all.insert(all.end(), facts.begin(), facts.end());
  return all;
}

// Of the whole GPU: ranks that share it see one another's.
std::int64_t CudaDevice::used_bytes() const {
  std::size_t free = 0;
  std::size_t total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  return static_cast<std::int64_t>(total - free);
}

std::shared_ptr<void> CudaDevice::allocate_bytes(std::size_t bytes) {
  void* memory = nullptr;
  const std::size_t some = std::max<std::size_t>(bytes, 1);
  if (const cudaError_t status = cudaMalloc(&memory, some); status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());  // the next kernel is not to blame
    throw std::runtime_error("no GPU memory for " + std::to_string(bytes) +
                             " bytes: " + cudaGetErrorString(status));
  }
  std::shared_ptr<void> owner(memory, [](void* data) { cudaFree(data); });
  CUDA_CHECK(cudaMemsetAsync(memory, 0, some, compute()));
  CUDA_CHECK(cudaStreamSynchronize(compute()));  // other streams may use it at once
  return owner;
}

void CudaDevice::upload(const Tensor& to, const void* from) {
  CUDA_CHECK(cudaMemcpyAsync(to.data, from, to.bytes(), cudaMemcpyHostToDevice, compute()));
  CUDA_CHECK(cudaStreamSynchronize(compute()));
}

void CudaDevice::download(void* to, const Tensor& from) {
  CUDA_CHECK(cudaMemcpyAsync(to, from.data, from.bytes(), cudaMemcpyDeviceToHost, compute()));
  CUDA_CHECK(cudaStreamSynchronize(compute()));
}

Stream CudaDevice::add_stream(std::string_view name) {
  add_cuda_stream();
  name_stream(name);
  return {static_cast<int>(streams_.size()) - 1};
}

Event CudaDevice::record(Stream stream) {
  const std::size_t slot = next_event_ % kEvents;
  if (slot == events_.size()) {
    cudaEvent_t event = nullptr;
    CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    events_.push_back(event);
  }
  CUDA_CHECK(cudaEventRecord(events_[slot], cuda_stream(stream)));
  return {next_event_++};
}

// What `stream` is given from now on starts when what the event's stream had been given is done.
void CudaDevice::wait(Stream stream, Event event) {
  if (event.index >= next_event_ || event.index + kEvents < next_event_) {
    throw std::runtime_error("wait for an event that is not there, or no longer");
  }
  CUDA_CHECK(cudaStreamWaitEvent(cuda_stream(stream), events_[event.index % kEvents], 0));
}

void CudaDevice::synchronize() { CUDA_CHECK(cudaDeviceSynchronize()); }

void CudaDevice::start_spans() {
  synchronize();
  spans_.start(compute());
}

std::vector<Span> CudaDevice::take_spans() {
  synchronize();
  return spans_.take();
}

void CudaDevice::begin_span(Stream stream, std::string_view name) {
  spans_.begin(stream, cuda_stream(stream), name);
}

void CudaDevice::end_span(Stream stream) { spans_.end(stream, cuda_stream(stream)); }

void* CudaDevice::scratch(Stream stream, std::size_t bytes) {
  Memory& memory = scratch_.at(static_cast<std::size_t>(stream.index));
  const auto count = static_cast<std::int64_t>(bytes);
  if (memory.tensor().count < count) {
    CUDA_CHECK(cudaStreamSynchronize(cuda_stream(stream)));  // kernels may still use the old one
    memory = Memory();
    memory = allocate(count, Type::int8, MemoryClass::buffers);
  }
  return memory.tensor().data;
}

void* CudaDevice::workspace(Stream stream) {
  Memory& memory = workspaces_.at(static_cast<std::size_t>(stream.index));
  if (memory.tensor().data == nullptr) {
    memory = allocate(static_cast<std::int64_t>(kWorkspaceBytes), Type::int8, MemoryClass::buffers);
  }
  return memory.tensor().data;
}

}  // namespace cuda

std::unique_ptr<Device> cuda_device(int index) { return std::make_unique<cuda::CudaDevice>(index); }

bool has_cuda() { return true; }

}  // namespace foretrain::trainer
