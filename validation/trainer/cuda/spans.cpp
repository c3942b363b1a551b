// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/spans.hpp"

#include "validation/trainer/cuda/check.hpp"

namespace foretrain::trainer::cuda {

SpanRecorder::~SpanRecorder() {
  for (cudaEvent_t event : events_) {
    cudaEventDestroy(event);
  }
}

cudaEvent_t SpanRecorder::next_event() {
  if (used_ == events_.size()) {
    cudaEvent_t event = nullptr;
    CUDA_CHECK(cudaEventCreate(&event));
    events_.push_back(event);
  }
  return events_[used_++];
}

void SpanRecorder::start(cudaStream_t origin) {
  used_ = 0;
  spans_.clear();
  open_.clear();
  CUDA_CHECK(cudaEventRecord(next_event(), origin));
  is_on_ = true;
}

void SpanRecorder::begin(Stream stream, cudaStream_t on, std::string_view name) {
  if (!is_on_) {
    return;
  }
  Pending span;
  span.name = name;
  span.stream = stream.index;
  span.start = next_event();
  span.end = next_event();
  CUDA_CHECK(cudaEventRecord(span.start, on));
  const auto index = static_cast<std::size_t>(stream.index);
  if (open_.size() <= index) {
    open_.resize(index + 1);
  }
  open_[index].push_back(spans_.size());
  spans_.push_back(std::move(span));
}

// Called by a destructor: a failure shows in take().
void SpanRecorder::end(Stream stream, cudaStream_t on) noexcept {
  const auto index = static_cast<std::size_t>(stream.index);
  if (!is_on_ || open_.size() <= index || open_[index].empty()) {
    return;
  }
  Pending& span = spans_[open_[index].back()];
  open_[index].pop_back();
  span.has_ended = cudaEventRecord(span.end, on) == cudaSuccess;
}

std::vector<Span> SpanRecorder::take() {
  constexpr double kSecondsPerMillisecond = 1e-3;
  is_on_ = false;
  std::vector<Span> spans;
  spans.reserve(spans_.size());
  const auto seconds = [this](cudaEvent_t event) {
    float milliseconds = 0;
    CUDA_CHECK(cudaEventElapsedTime(&milliseconds, events_.front(), event));
    return kSecondsPerMillisecond * static_cast<double>(milliseconds);
  };
  for (const Pending& span : spans_) {
    if (span.has_ended) {
      spans.push_back({span.name, span.stream, seconds(span.start), seconds(span.end)});
    }
  }
  spans_.clear();
  open_.clear();
  return spans;
}

}  // namespace foretrain::trainer::cuda
