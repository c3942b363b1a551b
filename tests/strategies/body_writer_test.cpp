// How the ops of a body are gathered, tagged and numbered.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/body_writer.hpp"

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

MemoryBound bytes(double count) { return {MemoryOp::streaming, Bytes(count)}; }

std::size_t kernels_of(const Op& op, const Program& program) {
  return program.kernel_lists.at(std::get<Kernels>(op.action).list.index()).size();
}

}  // namespace

TEST_CASE("kernels gather into one run until an op, a label or a tag ends it", "[strategies]") {
  ProgramBuilder builder;
  BodyWriter writer(builder, "stage 0");
  writer.label("layer 0");
  writer.kernel("a", bytes(1));
  writer.kernel("b", bytes(2));
  writer.op(kCompute, "pause", Delay{Seconds(1)});
  writer.kernel("c", bytes(3));
  writer.label("layer 1");
  writer.kernel("d", bytes(4));
  writer.tag({Phase::backward, 7, 1});
  writer.kernel("e", bytes(5));
  const Body body = writer.take();
  const std::vector<Op>& ops = body.streams.at(0).ops;
  REQUIRE(ops.size() == 5);
  CHECK(kernels_of(ops[0], builder.program) == 2);
  CHECK(builder.program.text(ops[0].name) == "layer 0");
  CHECK(std::holds_alternative<Delay>(ops[1].action));
  CHECK(kernels_of(ops[2], builder.program) == 1);
  CHECK(builder.program.text(ops[3].name) == "layer 1");
  CHECK(ops[3].phase == Phase::forward);
  CHECK(ops[4].phase == Phase::backward);
  CHECK(ops[4].micro_batch == 7);
  CHECK(ops[4].chunk == 1);
}

TEST_CASE("an op of another stream does not end the run", "[strategies]") {
  ProgramBuilder builder;
  BodyWriter writer(builder, "stage 0");
  const StreamIndex other = writer.add_stream("data");
  writer.kernel("a", bytes(1));
  writer.op(other, "pause", Delay{Seconds(1)});
  writer.kernel("b", bytes(2));
  const Body body = writer.take();
  CHECK(body.streams.at(0).ops.size() == 1);
  CHECK(body.streams.at(other).ops.size() == 1);
}

TEST_CASE("equal runs share one kernel list", "[strategies]") {
  ProgramBuilder builder;
  BodyWriter writer(builder, "stage 0");
  for (int layer = 0; layer < 3; ++layer) {
    writer.label("layer " + std::to_string(layer));
    writer.kernel("a", bytes(1));
  }
  CHECK(writer.take().streams.at(0).ops.size() == 3);
  CHECK(builder.program.kernel_lists.size() == 1);
}

TEST_CASE("kernels at the end of a run can be taken back, in their order", "[strategies]") {
  ProgramBuilder builder;
  BodyWriter writer(builder, "stage 0");
  writer.kernel("a", bytes(1));
  writer.kernel("b", bytes(20));
  writer.kernel("c", bytes(30));
  const auto taken = writer.take_back_while(
      [](const Kernel& kernel) { return std::get<MemoryBound>(kernel.shape).bytes > Bytes(10); });
  REQUIRE(taken.size() == 2);
  CHECK(builder.program.text(taken[0].name) == "b");
  CHECK(builder.program.text(taken[1].name) == "c");
  CHECK(kernels_of(writer.take().streams.at(0).ops.at(0), builder.program) == 1);
}

TEST_CASE("events are numbered in the order of their records", "[strategies]") {
  ProgramBuilder builder;
  BodyWriter writer(builder, "stage 0");
  const StreamIndex other = writer.add_stream("data");
  CHECK(writer.record(kCompute) == EventId(0));
  CHECK(writer.record(other) == EventId(1));
  writer.wait(kCompute, EventId(1));
  CHECK(writer.take().num_events == 2);
}

}  // namespace foretrain::testing
