// Compression studies: break-even against its closed form, bytes between nodes, mean steps.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/compress.hpp"

#include <cmath>

#include <nlohmann/json.hpp>

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

WireCompression default_compression(std::string_view name) {
  const Compressor& row = compressor(name);
  return {&row, CodecOptions(row.codec->options), false, 1};
}

/// Two nodes of one GPU, a model large enough that bytes and not latencies count; nothing overlaps.
Run two_nodes(BytesPerSecond rate) {
  Run run = small_run(1, 1, 2);
  run.nodes = 2;
  run.cluster.gpus_per_node = 1;
  run.cluster.nics_per_node = 1;
  run.cluster.fabric.rate.value = rate;
  run.model.hidden = 2048;
  run.model.head_dim = 256;
  run.model.ffn = 8192;
  return run;
}

CompressPoint step(const Run& run, const WireCompression* how) {
  return measure(with_method(run, how, {WirePlace::gradients}));
}

}  // namespace

TEST_CASE("without overlap a compressor pays below the rate that the closed form gives",
          "[compress]") {
  for (const char* name : {"block-int8", "block-int4", "cast", "qsgd", "zfp"}) {
    INFO(name);
    const WireCompression how = default_compression(name);
    const BreakEven found = find_break_even(
        [&](BytesPerSecond rate) {
          const Run run = two_nodes(rate);
          return step(run, nullptr).step_time - step(run, &how).step_time;
        },
        1_GBps, 100000_GBps);
    REQUIRE(found.kind == BreakEven::Kind::at);
    const Run run = two_nodes(10_GBps);
    const BytesPerSecond closed = closed_break_even(run, step(run, nullptr), step(run, &how));
    CHECK(found.simulated.value == Approx(closed.value).epsilon(0.05));
  }
}

TEST_CASE("the closed form is (1 - 1/r) / (1/Tc + 1/Td) of the bytes that are exchanged",
          "[compress]") {
  // Two GPUs exchange V = S by a ring all-reduce (2 (n - 1) / n = 1). A cast to 16 bit of 4-byte
  // numbers reads 4, writes 2, and the other way round.
  const Run run = two_nodes(10_GBps);
  const WireCompression how = default_compression("cast");
  const CompressPoint plain = step(run, nullptr);
  const CompressPoint coded = step(run, &how);
  const double whole = 4.0 * static_cast<double>(stage_shape(run, 0).parameters);
  CHECK(plain.sent_between_nodes.value == Approx(whole));
  CHECK(coded.sent_between_nodes.value == Approx(whole / 2));
  CHECK(plain.codec == 0_s);
  const BytesPerSecond rate = Bytes(2 * whole) / coded.codec;  // of coding, and of decoding
  CHECK(closed_break_even(run, plain, coded).value ==
        Approx(break_even(2, rate, rate).value).epsilon(1e-6));
}

TEST_CASE("bytes between nodes are those that NICs send", "[compress]") {
  // A ring over two nodes leaves each once: 2 (n - 1) / n S by every GPU's edge, two of which
  // cross.
  Run run = small_run(1, 1, 8);
  run.cluster.nics_per_node = 1;
  run.collectives = {{CollectiveKind::all_reduce, &collective_algorithm("ring"), {}}};
  const double whole = 4.0 * static_cast<double>(stage_shape(run, 0).parameters);
  CHECK(bytes_between_nodes(run, lower(run)).value == Approx(2 * whole * 2 * 7 / 8));
  CHECK(bytes_between_nodes(small_run(1, 1, 4), lower(small_run(1, 1, 4))) == 0_B);
}

TEST_CASE("ZeRO++ leaves half of the forward gathers and a quarter of the sums between nodes",
          "[compress]") {
  // Wang et al. 2023: of 3 M between nodes (two gathers and a scatter of M = 2 bytes per parameter)
  // 0.5 M + 0 (hpZ) + 0.25 M. A flat ring of eight GPUs crosses twice with 7/8 of M; the second hop
  // of a sum crosses with half of it from each node.
  Run run = small_run(1, 1, 8);
  run.parallel.zero = 3;
  run.stack.accumulation = Accumulation::separate_16_bit;
  run.training.global_batch = run.training.micro_batch * 8;
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    run.collectives.push_back({kind, &collective_algorithm("ring"), {}});
  }
  const auto sent = [](const Run& one) { return bytes_between_nodes(one, lower(one)).value; };
  const double whole = 2.0 * static_cast<double>(stage_shape(run, 0).parameters);
  const double sums = 2 * 7.0 / 8 * whole;
  const double plain = sent(run);
  run.sharding.secondary_shard = 4;
  const double forward = sent(run) - sums;
  // Backward gathers all but the embedding again.
  const double embedding = 2.0 * static_cast<double>(stage_shape(run, 0).embedding.parameters);
  CHECK(plain - sums == Approx(2 * forward - 2 * 7.0 / 8 * embedding).epsilon(0.001));
  WireCompression gathers = default_compression("block-int8");
  WireCompression sum = default_compression("block-int4");
  run.compression.places[static_cast<std::size_t>(WirePlace::parameters)] = gathers;
  CHECK(sent(run) == Approx(0.5 * forward + sums).epsilon(0.01));
  run.compression.places[static_cast<std::size_t>(WirePlace::gradients)] = sum;
  CHECK(sent(run) == Approx(0.5 * forward + 0.25 * whole).epsilon(0.01));
  run.sharding.secondary_shard.reset();
  CHECK(sent(run) == Approx(0.5 * (plain - sums) + 0.25 * whole).epsilon(0.01));
}

TEST_CASE("a break-even is found between the rates, or said to be beyond them", "[compress]") {
  const auto until = [](double zero) {
    return [zero](BytesPerSecond rate) { return Seconds(zero - rate.value); };
  };
  const BreakEven found = find_break_even(until(3e9), 1_GBps, 64_GBps);
  CHECK(found.kind == BreakEven::Kind::at);
  CHECK(found.simulated.value == Approx(3e9).epsilon(0.01));
  CHECK(find_break_even(until(1e8), 1_GBps, 64_GBps).kind == BreakEven::Kind::never);
  CHECK(find_break_even(until(1e12), 1_GBps, 64_GBps).kind == BreakEven::Kind::always);
}

TEST_CASE("the mean step of 1-bit Adam has its warm-up in it", "[compress]") {
  const Run run = two_nodes(1_GBps);
  const WireCompression how = default_compression("1-bit-adam");
  const CompressPoint plain = step(run, nullptr);
  const CompressPoint coded = step(run, &how);
  const CompressPoint mean = mean_step(plain, coded, 0.15);
  CHECK(mean.step_time.value ==
        Approx(0.15 * plain.step_time.value + 0.85 * coded.step_time.value));
  // Gradients have 4 bytes here: 32 times less after the warm-up.
  CHECK(plain.sent_between_nodes / mean.sent_between_nodes ==
        Approx(overall_ratio(32, 0.15)).epsilon(1e-3));
}

TEST_CASE("points and break-evens survive the way home from a worker", "[compress]") {
  CompressPoint point;
  point.method = "top-k";
  point.rate = 12.5_GBps;
  point.step_time = 1.5_s;
  point.sent_between_nodes = 3_GB;
  point.codec = 0.25_s;
  point.exposed = 0.5_s;
  point.fits = false;
  point.refusal = "because";
  const CompressPoint back = unpack_point(pack(point));
  CHECK(pack(back) == pack(point));
  CHECK(unpack_point(std::nullopt).refusal == "the worker process died");
  const BreakEven even{"qsgd", BreakEven::Kind::at, 3_GBps, 4_GBps};
  CHECK(pack(unpack_break_even(pack(even))) == pack(even));
  const CompressStudy study{{point}, {even}};
  CHECK(compress_text(study).find("because") != std::string::npos);
  CHECK(nlohmann::json::parse(compress_json(study))["break_even"][0]["method"] == "qsgd");
  CHECK(compress_csv(study).find(",because\n") != std::string::npos);
}

}  // namespace foretrain::testing
