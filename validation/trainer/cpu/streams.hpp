// Streams of a processor: the compute stream is the calling thread, every other one a thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "validation/trainer/device.hpp"

namespace foretrain::trainer {

/// REQUIRES: one thread calls, except where a comment says otherwise.
class Streams {
 public:
  Streams();
  ~Streams();  ///< finishes what is enqueued
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  [[nodiscard]] Stream add();
  /// On the compute stream the task runs now. On others an exception makes the stream skip what
  /// follows, until synchronize() or a wait of the compute stream has thrown it.
  void enqueue(Stream stream, std::function<void()> task);
  [[nodiscard]] Event record(Stream stream);
  void wait(Stream stream, Event event);
  void synchronize();

  void start_spans();
  [[nodiscard]] std::vector<Span> take_spans();
  void begin_span(Stream stream, std::string_view name);
  void end_span(Stream stream);

 private:
  class Worker;
  // Spans of one stream. `is_timed` belongs to the caller, the others to the stream.
  struct Spans {
    std::vector<bool> is_timed;  // of the open scopes
    std::vector<Span> open;
    std::vector<Span> done;
  };

  [[nodiscard]] Worker* worker(int index);
  [[nodiscard]] double now() const;  // any thread

  std::vector<std::unique_ptr<Spans>> spans_;
  bool is_timing_ = false;
  std::chrono::steady_clock::time_point start_;
  std::vector<std::unique_ptr<Worker>> workers_;  // of stream 1 and on; last: they use the others
};

}  // namespace foretrain::trainer
