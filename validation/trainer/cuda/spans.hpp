// Times what runs on streams by pairs of CUDA events.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cuda_runtime_api.h>
#include <string>
#include <string_view>
#include <vector>

#include "validation/trainer/device.hpp"

namespace foretrain::trainer::cuda {

class SpanRecorder {
 public:
  SpanRecorder() = default;
  ~SpanRecorder();
  SpanRecorder(const SpanRecorder&) = delete;
  SpanRecorder& operator=(const SpanRecorder&) = delete;

  /// Times count from when `origin` gets here. REQUIRES: the device is idle.
  void start(cudaStream_t origin);
  void begin(Stream stream, cudaStream_t on, std::string_view name);
  void end(Stream stream, cudaStream_t on) noexcept;
  /// REQUIRES: the device is idle.
  [[nodiscard]] std::vector<Span> take();

 private:
  struct Pending {
    std::string name;
    int stream = 0;
    cudaEvent_t start = nullptr;
    cudaEvent_t end = nullptr;
    bool has_ended = false;
  };

  cudaEvent_t next_event();

  bool is_on_ = false;
  std::vector<cudaEvent_t> events_;  // the first is the origin; those after `used_` are free
  std::size_t used_ = 0;
  std::vector<Pending> spans_;
  std::vector<std::vector<std::size_t>> open_;  // of each stream, innermost last
};

}  // namespace foretrain::trainer::cuda
