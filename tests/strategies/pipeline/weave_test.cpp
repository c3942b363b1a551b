// Two passes in turn: order, what moves to the other stream, and who waits for what.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/weave.hpp"

#include <string>
#include <utility>

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

/// A pass of `pieces` kernels with a collective after each but the last.
void write_pass(BodyWriter& writer, const std::string& name, int pieces) {
  for (int i = 0; i < pieces; ++i) {
    writer.label(name + std::to_string(i));
    writer.kernel("k", MemoryBound{MemoryOp::streaming, Bytes(8)});
    if (i + 1 < pieces) {
      writer.op(kCompute, name, Collective{CollectiveKind::all_reduce, 0, Bytes(1)});
    }
  }
}

/// One word per op: kernels by their label, "w" and "r" for wait and record, "c:" and its name.
std::string text(const ProgramBuilder& builder, const Stream& stream) {
  std::string all;
  for (const Op& op : stream.ops) {
    const std::string& name = builder.program.text(op.name);
    all += all.empty() ? "" : " ";
    if (std::holds_alternative<Wait>(op.action)) {
      all += "w" + std::to_string(std::get<Wait>(op.action).event.index());
    } else if (std::holds_alternative<Record>(op.action)) {
      all += "r" + std::to_string(std::get<Record>(op.action).event.index());
    } else if (std::holds_alternative<Collective>(op.action)) {
      all += "c:" + name;
    } else {
      all += name;
    }
  }
  return all;
}

std::pair<std::string, std::string> woven(int first, int second) {
  ProgramBuilder builder;
  BodyWriter writer(builder, "body");
  const StreamIndex beside = writer.add_stream("pair");
  auto a = writer.capture([&] { write_pass(writer, "f", first); });
  auto b = writer.capture([&] { write_pass(writer, "b", second); });
  weave(std::move(a), std::move(b), beside, writer);
  const Body body = writer.take();
  return {text(builder, body.streams[0]), text(builder, body.streams[1])};
}

}  // namespace

TEST_CASE("a collective of one pass travels while the other computes", "[pipeline]") {
  const auto both = woven(2, 2);
  // Each waits for its own collective only when it goes on.
  CHECK(both.first == "f0 r0 b0 r2 w1 f1 w3 b1");
  CHECK(both.second == "w0 c:f r1 w2 c:b r3");
}

TEST_CASE("passes of unequal numbers of pieces keep pace", "[pipeline]") {
  const auto both = woven(2, 4);
  CHECK(both.first == "f0 r0 b0 r2 w3 b1 r4 w1 f1 w5 b2 r6 w7 b3");
  CHECK(both.second == "w0 c:f r1 w2 c:b r3 w4 c:b r5 w6 c:b r7");
}

TEST_CASE("streams that passes share get the ops of both in the order of their pieces",
          "[pipeline]") {
  // Were all of the first pass's collectives written before the second's, the second's first would
  // stand behind one that waits for a kernel further on.
  ProgramBuilder builder;
  BodyWriter writer(builder, "body");
  const StreamIndex beside = writer.add_stream("pair");
  const StreamIndex shared = writer.add_stream("shared");
  const auto pass = [&](const std::string& name) {
    return writer.capture([&] {
      for (int i = 0; i < 2; ++i) {
        writer.label(name + std::to_string(i));
        writer.kernel("k", MemoryBound{MemoryOp::streaming, Bytes(8)});
        writer.wait(shared, writer.record(kCompute));
        writer.op(shared, name, Collective{CollectiveKind::all_reduce, 0, Bytes(1)});
        writer.wait(kCompute, writer.record(shared));
      }
    });
  };
  auto a = pass("f");
  auto b = pass("b");
  weave(std::move(a), std::move(b), beside, writer);
  const Body body = writer.take();
  CHECK(text(builder, body.streams[0]) == "f0 r0 b0 r4 w1 f1 r2 w5 b1 r6 w3 w7");
  CHECK(text(builder, body.streams[shared]) == "w0 c:f r1 w4 c:b r5 w2 c:f r3 w6 c:b r7");
  CHECK(body.streams[beside].ops.empty());
}

TEST_CASE("passes without communication run one after the other", "[pipeline]") {
  CHECK(woven(1, 1).first == "f0 b0");
  CHECK(woven(1, 1).second.empty());
}

}  // namespace foretrain::testing
