// Runs through compressors: what is sent, coded and held, and when.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/wire.hpp"

#include <cmath>

#include "sim/engine/costs.hpp"
#include "strategies/compress/check.hpp"
#include "strategies/compress/node_groups.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/random_runs.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

WireCompression with(const Compressor& row, bool between_nodes_only = false,
                     std::int64_t chunks = 1) {
  return {&row, CodecOptions(row.codec->options), between_nodes_only, chunks};
}

void compress(Run& run, WirePlace place, const WireCompression& how) {
  run.compression.places[static_cast<std::size_t>(place)] = how;
}

std::string refusal_of(const Run& run) {
  config::Diagnostics diagnostics;
  check_compression(run, diagnostics);
  try {
    diagnostics.throw_if_any();
  } catch (const ConfigError& error) {
    return error.diagnostics().front().message;
  }
  return "";
}

/// 2 x 2 x 4 ranks, 4 to a node; all places but experts are in use.
Run busy_run() {
  Run run = small_run(2, 2, 4);
  run.parallel.zero = 1;
  run.stack.overlap_gradients = true;
  run.stack.overlap_parameters = true;
  run.stack.bucket.value = 100_KiB;
  return run;
}

/// Codes cost nothing and are as long as what they stand for.
Bytes same_bytes(const CodecOptions&, const Message& message) { return message.bytes(); }
CodecWork no_work(const CodecOptions&, const Message&) { return {}; }
CodecWork no_sum(const CodecOptions&, const Message&, double) { return {}; }
const Codec kIdentity = {{},      same_bytes, no_work, no_work, no_sum, nullptr,
                         nullptr, nullptr,    nullptr, "none",  ""};
constexpr WirePlaces kAll = {WirePlace::gradients, WirePlace::parameters, WirePlace::tensor,
                             WirePlace::pipeline};
const Compressor kNoChange = {"identity", "", Summing::in_code, false, kAll, "", &kIdentity};

Seconds codec_work(const Program& program, const PlatformCosts& costs, Rank rank) {
  Seconds sum;
  for_every_op(program, rank, [&](const Op& op) {
    const auto* kernels = std::get_if<Kernels>(&op.action);
    if (kernels != nullptr && op.phase == Phase::compression) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        sum += costs.kernel_time(kernel, DeviceId(rank.index()));
      }
    }
  });
  return sum;
}

}  // namespace

TEST_CASE("a compressor that changes nothing for free changes no time", "[compress]") {
  Run run = busy_run();
  const Timeline plain = play_run(run).timeline;
  for (const WirePlace place :
       {WirePlace::gradients, WirePlace::parameters, WirePlace::tensor, WirePlace::pipeline}) {
    compress(run, place, with(kNoChange));
  }
  const Timeline same = play_run(run).timeline;
  CHECK_THAT(same.end.value, Catch::Matchers::WithinRel(plain.end.value, 1e-12));
  CHECK(same.events == plain.events);
}

TEST_CASE("every compressor in every place it is made for gives a program that can finish",
          "[compress]") {
  for (const Compressor& row : compressors()) {
    for (const WirePlace place : kWirePlaces) {
      for (const bool between_nodes_only : {false, true}) {
        for (const std::int64_t chunks : {1, 3}) {
          if (!row.places.contains(place) || place == WirePlace::experts) {
            continue;
          }
          Run run = busy_run();
          compress(run, place, with(row, between_nodes_only, chunks));
          INFO(row.name << " in " << name_of(place) << (between_nodes_only ? " between nodes" : "")
                        << " in " << chunks);
          if (!refusal_of(run).empty()) {
            continue;
          }
          const Program program = lower(run);
          verify(program);
          const Played played = play_run(run);
          Seconds coding = codec_work(program, PlatformCosts(*played.machine), Rank(0));
          CHECK(coding > 0_s);
          CHECK(std::isfinite(played.timeline.end.value));
        }
      }
    }
  }
}

TEST_CASE("lumped and full runs agree where codecs share the GPU with compute", "[compress]") {
  RandomRuns runs(29);
  Tally tally;
  std::size_t compressed = 0;
  for (int i = 0; i < 60; ++i) {
    Run run = runs.next();
    const auto& row = compressors()[static_cast<std::size_t>(i) % compressors().size()];
    for (const WirePlace place : kWirePlaces) {
      Run changed = run;
      compress(changed, place, with(row, i % 3 == 0, 1 + i % 2));
      if (row.places.contains(place) && refusal_of(changed).empty()) {
        run = changed;
      }
    }
    if (run.compression.is_none()) {
      continue;
    }
    ++compressed;
    if (i % 2 == 0) {
      run.cluster.fabric.compute_share = {0.1, "a test", config::Basis::assumed};
    }
    INFO(describe(run) << " through " << row.name);
    const auto machine = build_machine(run);
    tally.compare(lower(run), PlatformCosts(*machine));
  }
  CHECK(compressed > 20);
  CHECK(tally.smaller > tally.pairs / 4);
  CHECK(tally.unstable <= 1);
}

TEST_CASE("two hops go inside nodes first, then between them", "[compress]") {
  Run run = small_run(1, 1, 8);
  run.stack.accumulation = Accumulation::separate_16_bit;
  run.parallel.zero = 1;
  compress(run, WirePlace::gradients, with(compressor("block-int4")));
  const Program program = lower(run);
  const double count = static_cast<double>(stage_shape(run, 0).parameters);
  const Volume sent = collectives(program, Rank(0), "data", CollectiveKind::all_to_all);
  CHECK(sent.count == 2);
  // All of it inside the node, a quarter of it between the two nodes, half a byte each, and scales.
  CHECK(sent.bytes.value == Approx(1.25 * count * (0.5 + 4.0 / 2048)).epsilon(1e-3));
  for (std::size_t rank = 0; rank < 8; ++rank) {
    const auto& slots = program.ranks[rank].communicators;
    const auto& inside = program.groups[slots.at(slot_of(GroupPart::inside, kDataGroup)).index()];
    const auto& across = program.groups[slots.at(slot_of(GroupPart::across, kDataGroup)).index()];
    REQUIRE(inside.members.size() == 4);
    REQUIRE(across.members.size() == 2);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(inside.members[i] == Rank(rank / 4 * 4 + i));
    }
    CHECK(across.members[0] == Rank(rank % 4));
    CHECK(across.members[1] == Rank(rank % 4 + 4));
  }
}

TEST_CASE("coding takes the compute stream's time, decoding does not wait for it", "[compress]") {
  Run run = small_run(1, 1, 2);
  run.stack.overlap_gradients = true;
  compress(run, WirePlace::gradients, with(compressor("block-int8")));
  const Program program = lower(run);
  std::size_t coded = 0;
  std::size_t decoded = 0;
  for (const Op& op : program.bodies[0].streams[0].ops) {
    coded += program.text(op.name) == "compress" ? 1 : 0;
    CHECK(program.text(op.name) != "decompress");
  }
  for (const Op& op : program.bodies[0].streams[1].ops) {
    decoded += program.text(op.name) == "decompress" ? 1 : 0;
  }
  CHECK(coded > 0);
  CHECK(decoded == coded);
}

TEST_CASE("chunks hide coding behind sending", "[compress]") {
  Run run = small_run(1, 1, 2);
  run.cluster.fabric.rate.value = 1_GBps;
  run.nodes = 2;
  run.cluster.gpus_per_node = 1;
  run.cluster.nics_per_node = 1;
  run.model.hidden = 1024;
  run.model.ffn = 4096;
  run.model.head_dim = 128;
  compress(run, WirePlace::gradients, with(compressor("block-int8")));
  const Seconds whole = play_run(run).timeline.end;
  compress(run, WirePlace::gradients, with(compressor("block-int8"), false, 4));
  CHECK(play_run(run).timeline.end < whole);
}

TEST_CASE("error feedback is held from step to step", "[compress]") {
  Run run = small_run(1, 1, 4);
  const Bytes before = resident(lower(run), Rank(0), MemoryClass::buffers);
  compress(run, WirePlace::gradients, with(compressor("top-k")));
  const double count = static_cast<double>(stage_shape(run, 0).parameters);
  CHECK(resident(lower(run), Rank(0), MemoryClass::buffers) - before == count * 4_B);
}

TEST_CASE("what makes no sense is refused with its reason", "[compress]") {
  const auto refused = [](Run run, WirePlace place, std::string_view name,
                          bool between_nodes_only = false) {
    compress(run, place, with(compressor(name), between_nodes_only));
    return refusal_of(run);
  };
  const Run two_nodes = small_run(1, 1, 8);
  CHECK(refused(small_run(2, 1, 1), WirePlace::gradients, "block-int8") ==
        "there is one replica: no gradients are sent");
  CHECK(refused(two_nodes, WirePlace::parameters, "block-int8").starts_with("no parameters are"));
  Run broadcasts = two_nodes;
  broadcasts.parallel.zero = 1;
  broadcasts.stack.gathers_by_broadcasts = true;
  CHECK(refused(broadcasts, WirePlace::parameters, "block-int8") ==
        "the stack hands parameters out by broadcasts, which are not compressed");
  CHECK(refused(two_nodes, WirePlace::tensor, "block-int8") == "tensor is 1: nothing is sent");
  CHECK(refused(two_nodes, WirePlace::pipeline, "block-int8") == "pipeline is 1: nothing is sent");
  CHECK(refused(two_nodes, WirePlace::experts, "block-int8").starts_with("the run has no expert"));
  CHECK(refused(small_run(1, 1, 4), WirePlace::gradients, "block-int8", true)
            .starts_with("no group leaves its node"));
  Run uneven = small_run(1, 1, 8);
  uneven.nodes = 3;
  uneven.gpus = 8;
  uneven.cluster.gpus_per_node = 3;
  CHECK(refused(uneven, WirePlace::gradients, "block-int8", true)
            .starts_with("a group of 8 GPUs does not lie alike"));
  CHECK(refused(small_run(1, 2, 2), WirePlace::pipeline, "block-int8", true)
            .starts_with("some stages share a node"));
  Run zero_2 = two_nodes;
  zero_2.parallel.zero = 2;
  CHECK(refused(zero_2, WirePlace::gradients, "power-sgd")
            .starts_with("'power-sgd' keeps errors of all gradients on every rank"));
  Run narrow = two_nodes;
  narrow.stack.accumulation = Accumulation::separate_16_bit;
  CHECK(
      refused(narrow, WirePlace::gradients, "cast").starts_with("what is sent there is no wider"));
  CHECK(refused(two_nodes, WirePlace::gradients, "cast").empty());
}

TEST_CASE("a codec with measured rates takes their times, also between stages", "[compress]") {
  Run run = small_run(1, 2, 1);
  WireCompression how = with(compressor("block-int8"), false, 2);
  how.rates = CodecRates{2_GBps, 5_GBps};
  compress(run, WirePlace::pipeline, how);
  const Program program = lower(run);
  // Each activation and gradient of a micro-batch, in two chunks.
  const std::int64_t numbers =
      run.training.micro_batch * run.training.sequence_length * run.model.hidden;
  const Bytes chunk = 0.5 * static_cast<double>(numbers) * 2_B;
  std::size_t encoded = 0;
  std::size_t decoded = 0;
  for (const std::size_t rank : {0U, 1U}) {
    for_every_op(program, Rank(rank), [&](const Op& op) {
      if (op.phase == Phase::compression) {
        const auto* delay = std::get_if<Delay>(&op.action);
        REQUIRE(delay != nullptr);
        const bool is_encoding = delay->duration.value == Approx((chunk / 2_GBps).value);
        CHECK((is_encoding || delay->duration.value == Approx((chunk / 5_GBps).value)));
        (is_encoding ? encoded : decoded) += 1;
      }
    });
  }
  const std::int64_t micro_batches = run.training.global_batch / run.training.micro_batch;
  CHECK(encoded == static_cast<std::size_t>(2 * 2 * micro_batches));
  CHECK(decoded == encoded);
}

}  // namespace foretrain::testing
