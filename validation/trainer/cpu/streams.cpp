// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/streams.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace foretrain::trainer {
namespace {

// An event is a place in a stream's queue: the stream above, the number of tasks before it below.
constexpr int kPlaceBits = 48;
constexpr std::uint64_t kPlaceMask = (std::uint64_t{1} << kPlaceBits) - 1;

int stream_of(Event event) { return static_cast<int>(event.index >> kPlaceBits); }
std::uint64_t place_of(Event event) { return event.index & kPlaceMask; }

}  // namespace

class Streams::Worker {
 public:
  Worker() : thread_([this] { run(); }) {}
  ~Worker() {
    {
      const std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void push(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
      ++pushed_;
    }
    changed_.notify_all();
  }

  [[nodiscard]] std::uint64_t pushed() {
    const std::lock_guard lock(mutex_);
    return pushed_;
  }

  // Any thread but this worker's own.
  void wait_for(std::uint64_t done) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= done; });
  }

  /// The first exception since the last call.
  [[nodiscard]] std::exception_ptr take_failure() {
    const std::lock_guard lock(mutex_);
    return std::exchange(failure_, nullptr);
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return is_ending_ || !tasks_.empty(); });
      if (tasks_.empty()) {
        return;
      }
      run_first(lock);
      ++done_;
      changed_.notify_all();
    }
  }

  // The lock is open while the task runs, and while it goes: it may hold the last of a group.
  void run_first(std::unique_lock<std::mutex>& lock) {
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    const bool has_failed = failure_ != nullptr;
    std::exception_ptr failure;
    lock.unlock();
    try {
      if (!has_failed) {
        task();
      }
      task = nullptr;
    } catch (...) {
      failure = std::current_exception();
      task = nullptr;
    }
    lock.lock();
    if (failure != nullptr) {
      failure_ = failure;
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::uint64_t pushed_ = 0;
  std::uint64_t done_ = 0;
  std::exception_ptr failure_;
  bool is_ending_ = false;
  std::thread thread_;  // last: it uses the others
};

Streams::Streams() : start_(std::chrono::steady_clock::now()) {
  spans_.push_back(std::make_unique<Spans>());
}

Streams::~Streams() {
  // One stream may wait for another, so none goes before all are done.
  for (const std::unique_ptr<Worker>& each : workers_) {
    each->wait_for(each->pushed());
  }
}

Streams::Worker* Streams::worker(int index) {
  return index == kCompute.index ? nullptr : workers_.at(static_cast<std::size_t>(index) - 1).get();
}

Stream Streams::add() {
  spans_.push_back(std::make_unique<Spans>());
  workers_.push_back(std::make_unique<Worker>());
  return Stream{static_cast<int>(workers_.size())};
}

void Streams::enqueue(Stream stream, std::function<void()> task) {
  if (Worker* to = worker(stream.index); to != nullptr) {
    to->push(std::move(task));
  } else {
    task();
  }
}

Event Streams::record(Stream stream) {
  Worker* const of = worker(stream.index);
  const std::uint64_t place = of == nullptr ? 0 : of->pushed();
  return {(static_cast<std::uint64_t>(stream.index) << kPlaceBits) | place};
}

void Streams::wait(Stream stream, Event event) {
  Worker* const other = worker(stream_of(event));
  if (other == nullptr || stream_of(event) == stream.index) {
    return;  // the compute stream is never behind its caller, and a stream never behind itself
  }
  const std::uint64_t place = place_of(event);
  enqueue(stream, [other, place] { other->wait_for(place); });
  if (stream == kCompute) {
    if (const std::exception_ptr failure = other->take_failure(); failure != nullptr) {
      std::rethrow_exception(failure);
    }
  }
}

void Streams::synchronize() {
  std::exception_ptr first;
  for (const std::unique_ptr<Worker>& each : workers_) {
    each->wait_for(each->pushed());
  }
  for (const std::unique_ptr<Worker>& each : workers_) {
    const std::exception_ptr failure = each->take_failure();
    if (first == nullptr) {
      first = failure;
    }
  }
  if (first != nullptr) {
    std::rethrow_exception(first);
  }
}

double Streams::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

void Streams::start_spans() {
  synchronize();
  for (const std::unique_ptr<Spans>& each : spans_) {
    each->done.clear();
  }
  start_ = std::chrono::steady_clock::now();
  is_timing_ = true;
}

std::vector<Span> Streams::take_spans() {
  synchronize();
  is_timing_ = false;
  std::vector<Span> all;
  for (const std::unique_ptr<Spans>& each : spans_) {
    all.insert(all.end(), each->done.begin(), each->done.end());
    each->done.clear();
    each->open.clear();
    std::fill(each->is_timed.begin(), each->is_timed.end(), false);
  }
  std::stable_sort(all.begin(), all.end(), [](const Span& left, const Span& right) {
    return left.start_s < right.start_s;
  });
  return all;
}

void Streams::begin_span(Stream stream, std::string_view name) {
  Spans& spans = *spans_.at(static_cast<std::size_t>(stream.index));
  spans.is_timed.push_back(is_timing_);
  if (is_timing_) {
    enqueue(stream, [this, &spans, stream, text = std::string(name)] {
      spans.open.push_back({text, stream.index, now(), 0});
    });
  }
}

void Streams::end_span(Stream stream) {
  Spans& spans = *spans_.at(static_cast<std::size_t>(stream.index));
  const bool is_timed = spans.is_timed.back();
  spans.is_timed.pop_back();
  if (is_timed) {
    enqueue(stream, [this, &spans] {
      if (spans.open.empty()) {
        return;  // its begin was skipped, after a failure
      }
      spans.open.back().end_s = now();
      spans.done.push_back(std::move(spans.open.back()));
      spans.open.pop_back();
    });
  }
}

}  // namespace foretrain::trainer
