// Are programs that break their promises refused, and told apart from those that keep them?
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/error.hpp"
#include "sim/program/program.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/program_maker.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

std::string refusal(const Program& program) {
  try {
    verify(program);
  } catch (const InternalError& error) {
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("a program of kernels, messages, collectives and events is accepted", "[program]") {
  ProgramMaker maker(2);
  const EventId done = maker.event(0);
  maker.op(0, Kernels{maker.kernels(1)}).op(0, Record{done});
  maker.op(0, Wait{done}, Phase::forward, 1).op(0, Send{1, 0, 1_MB}, Phase::forward, 1);
  maker.op(1, Recv{0, 0, 1_MB});
  for (std::size_t rank = 0; rank < 2; ++rank) {
    maker.op(rank, Alloc{MemoryClass::activations, 5_MB});
    maker.op(rank, Collective{CollectiveKind::all_reduce, 0, 1_MB});
    maker.op(rank, Free{MemoryClass::activations, 5_MB});
  }
  CHECK(refusal(maker.program()) == "accepted");
}

TEST_CASE("a receive without a send is refused with its place", "[program]") {
  ProgramMaker maker(2);
  maker.op(1, Kernels{maker.kernels(1)}).op(1, Recv{0, 0, 1_MB});
  CHECK(refusal(maker.program()) == "invalid program: rank 1 stream compute op 1 waits for ever");
}

TEST_CASE("two blocking sends that face each other are refused", "[program]") {
  ProgramMaker maker(2);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    const auto other = static_cast<std::uint32_t>(1 - rank);
    maker.op(rank, Send{other, 0, 1_MB}).op(rank, Recv{other, 0, 1_MB});
  }
  CHECK(refusal(maker.program()) == "invalid program: rank 0 stream compute op 0 waits for ever");
}

TEST_CASE("an event that is recorded twice is refused", "[program]") {
  ProgramMaker maker(1);
  const EventId event = maker.event(0);
  maker.op(0, Record{event}).op(0, Record{event});
  CHECK(refusal(maker.program()) ==
        "invalid program: rank 0 stream compute op 1: event recorded twice");
}

TEST_CASE("streams that wait for each other's events are refused", "[program]") {
  ProgramMaker maker(1);
  const EventId a = maker.event(0);
  const EventId b = maker.event(0);
  maker.op(0, Wait{a}).op(0, Record{b});
  maker.op(0, Wait{b}, Phase::forward, 1).op(0, Record{a}, Phase::forward, 1);
  CHECK(refusal(maker.program()) == "invalid program: rank 0 stream compute op 0 waits for ever");
}

TEST_CASE("members of a group that are at different collectives are refused", "[program]") {
  ProgramMaker maker(2);
  maker.op(0, Collective{CollectiveKind::all_reduce, 0, 1_MB});
  maker.op(1, Collective{CollectiveKind::all_gather, 0, 1_MB});
  CHECK(refusal(maker.program()) ==
        "invalid program: rank 1 stream compute op 0: another member of the group is at a "
        "different collective");
}

TEST_CASE("a send and its receive must agree on the payload", "[program]") {
  ProgramMaker maker(2);
  maker.op(0, Send{1, 0, 1_MB}).op(1, Recv{0, 0, 2_MB});
  CHECK(refusal(maker.program()) ==
        "invalid program: rank 1 stream compute op 0: the other side has another payload");
}

TEST_CASE("memory that is allocated must be freed", "[program]") {
  ProgramMaker maker(1);
  maker.op(0, Alloc{MemoryClass::activations, 5_MB});
  CHECK(refusal(maker.program()) == "invalid program: rank 0 does not free what it allocated");
}

TEST_CASE("ids that point nowhere are refused", "[program]") {
  ProgramMaker maker(1);
  SECTION("a kernel list") {
    maker.op(0, Kernels{KernelListId(7)});
    CHECK(refusal(maker.program()) ==
          "invalid program: rank 0 stream compute op 0: no such kernel list");
  }
  SECTION("a communicator slot") {
    maker.op(0, Collective{CollectiveKind::all_reduce, 7, 1_MB});
    CHECK(refusal(maker.program()) == "invalid program: rank 0 stream compute op 0: no such group");
  }
  SECTION("a peer slot") {
    maker.op(0, Send{7, 0, 1_MB});
    CHECK(refusal(maker.program()) == "invalid program: rank 0 stream compute op 0: no such peer");
  }
  SECTION("a body") {
    maker.program().ranks[0].body = BodyId(7);
    CHECK(refusal(maker.program()) == "invalid program: a rank has no such body");
  }
}

TEST_CASE("equal kernel lists and names are stored once", "[program]") {
  ProgramBuilder builder;
  CHECK(builder.name("layer") == builder.name("layer"));
  CHECK(builder.name("layer") != builder.name("head"));
  const Kernel gemm{builder.name("qkv"), Gemm{1, 2, 3, 4}};
  CHECK(builder.kernel_list({gemm}) == builder.kernel_list({gemm}));
  CHECK(builder.kernel_list({gemm, gemm}) != builder.kernel_list({gemm}));
}

TEST_CASE("FLOPs of kernels follow their published counts", "[program]") {
  // 2 m n k; forward flash 4 s^2 d per head, halved when causal; backward 5 matmuls for 2.
  CHECK(flops({NameId(0), Gemm{2, 3, 5, 7}}) == Flops(2.0 * 2 * 3 * 5 * 7));
  FlashAttention flash{1, 1, 16, 16, 8, 8, false, false};
  CHECK(flops({NameId(0), flash}) == Flops(4.0 * 16 * 16 * 8));
  flash.is_causal = true;
  CHECK(flops({NameId(0), flash}) == Flops(2.0 * 16 * 16 * 8));
  flash.is_backward = true;
  CHECK(flops({NameId(0), flash}) == Flops(5.0 * 16 * 16 * 8));
}

}  // namespace foretrain::testing
