// SPDX-License-Identifier: Apache-2.0
// Streams of a processor: order, events, failures and spans. Tasks wait for one another's flags
// where a test is about order, so that nothing depends on how fast a thread is.
#include "validation/trainer/cpu/streams.hpp"

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;

void until(const std::atomic<bool>& flag) {
  while (!flag) {
    std::this_thread::yield();
  }
}

TEST_CASE("a stream does its tasks in order, beside its caller", "[trainer]") {
  Streams streams;
  const Stream stream = streams.add();
  std::atomic<bool> may_start = false;
  std::vector<int> order;
  streams.enqueue(stream, [&] { until(may_start); });
  for (int i = 0; i < 100; ++i) {
    streams.enqueue(stream, [&order, i] { order.push_back(i); });
  }
  CHECK(order.empty());  // the stream stands at its first task
  may_start = true;
  streams.synchronize();
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i) {
    CHECK(order[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("the compute stream is its caller", "[trainer]") {
  Streams streams;
  std::thread::id ran_on;
  streams.enqueue(kCompute, [&] { ran_on = std::this_thread::get_id(); });
  CHECK(ran_on == std::this_thread::get_id());
}

TEST_CASE("work after an event waits for it, and no other work does", "[trainer]") {
  Streams streams;
  const Stream slow = streams.add();
  const Stream quick = streams.add();
  std::atomic<bool> may_end = false;
  std::atomic<bool> has_ended = false;
  std::atomic<bool> is_before_run = false;
  bool was_ended = false;
  streams.enqueue(slow, [&] {
    until(may_end);
    has_ended = true;
  });
  const Event event = streams.record(slow);
  streams.enqueue(quick, [&] { is_before_run = true; });
  streams.wait(quick, event);
  streams.enqueue(quick, [&] { was_ended = has_ended; });
  until(is_before_run);  // would never come if all of `quick` waited
  may_end = true;
  streams.synchronize();
  CHECK(was_ended);
}

TEST_CASE("the compute stream waits for an event where it stands", "[trainer]") {
  Streams streams;
  const Stream stream = streams.add();
  bool is_done = false;  // not atomic: the wait orders the two threads
  streams.enqueue(stream, [&] {
    std::this_thread::yield();
    is_done = true;
  });
  const Event event = streams.record(stream);
  std::atomic<bool> may_end = false;
  streams.enqueue(stream, [&] { until(may_end); });
  streams.wait(kCompute, event);  // not for the task after it
  CHECK(is_done);
  may_end = true;
  streams.synchronize();  // before what the task looks at goes
}

TEST_CASE("an event of the compute stream is past for every stream", "[trainer]") {
  Streams streams;
  const Stream stream = streams.add();
  int value = 0;
  streams.enqueue(kCompute, [&] { value = 1; });
  streams.wait(stream, streams.record(kCompute));
  streams.enqueue(stream, [&] { value *= 5; });
  streams.synchronize();
  CHECK(value == 5);
}

TEST_CASE("the first failure of a stream is thrown once, and what follows is skipped",
          "[trainer]") {
  Streams streams;
  const Stream stream = streams.add();
  bool is_skipped = true;
  streams.enqueue(stream, [] { throw std::runtime_error("first"); });
  streams.enqueue(stream, [&] {
    is_skipped = false;
    throw std::runtime_error("second");
  });
  SECTION("by synchronize()") { CHECK_THROWS_WITH(streams.synchronize(), "first"); }
  SECTION("by a wait of the compute stream") {
    CHECK_THROWS_WITH(streams.wait(kCompute, streams.record(stream)), "first");
  }
  CHECK(is_skipped);
  streams.synchronize();
  streams.enqueue(stream, [&] { is_skipped = false; });
  streams.synchronize();
  CHECK_FALSE(is_skipped);
}

TEST_CASE("streams that go away finish their tasks first", "[trainer]") {
  std::atomic<int> done = 0;
  {
    Streams streams;
    const Stream first = streams.add();
    const Stream second = streams.add();
    streams.wait(first, streams.record(second));
    for (int i = 0; i < 10; ++i) {
      streams.enqueue(second, [&] { ++done; });
    }
    streams.wait(first, streams.record(second));
    streams.enqueue(first, [&] { ++done; });
  }
  CHECK(done == 11);
}

TEST_CASE("spans are timed where they run, and only when asked for", "[trainer]") {
  Streams streams;
  const Stream stream = streams.add();
  const auto scope = [&](Stream of, const char* name) {
    streams.begin_span(of, name);
    streams.enqueue(of, [] {});
    streams.end_span(of);
  };
  scope(kCompute, "not timed");
  streams.start_spans();
  streams.begin_span(kCompute, "outer");
  scope(kCompute, "inner");
  scope(stream, "other");
  streams.wait(kCompute, streams.record(stream));
  streams.end_span(kCompute);
  const std::vector<Span> spans = streams.take_spans();
  scope(stream, "not timed");
  streams.synchronize();

  REQUIRE(spans.size() == 3);  // by start
  CHECK(spans[0].name == "outer");
  CHECK(spans[1].name == "inner");
  CHECK(spans[2].name == "other");
  CHECK(spans[2].stream == stream.index);
  for (const Span& each : spans) {
    CHECK(each.start_s >= 0);
    CHECK(each.end_s >= each.start_s);
    CHECK(each.end_s <= spans[0].end_s);  // all are within the outer one, which waited for them
  }
  CHECK(streams.take_spans().empty());
}

TEST_CASE("a scope that was open before timing began is not a span", "[trainer]") {
  Streams streams;
  streams.begin_span(kCompute, "before");
  streams.start_spans();
  streams.end_span(kCompute);
  CHECK(streams.take_spans().empty());
}

}  // namespace
}  // namespace foretrain::testing
