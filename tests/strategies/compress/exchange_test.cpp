// Collectives through a compressor: who sends what, and how it reaches everyone.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/exchange.hpp"

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr double kElements = 64 * 2048.0;

Message message() { return {kElements, 2_B, Dtype::bf16, 64, 64}; }

WireCompression wire_compression(std::string_view name, bool between_nodes_only = false) {
  const Compressor& row = compressor(name);
  WireCompression how{&row, CodecOptions(row.codec->options), between_nodes_only, 1};
  if (name == "cast") {
    how.options.set("to", 2);
  }
  return how;
}

constexpr GroupShape kFlat = {8, 1};
constexpr GroupShape kGrid = {8, 4};  // two nodes

std::vector<PartCollective> collectives_of(const CodedExchange& steps) {
  std::vector<PartCollective> all;
  for (const ExchangeStep& step : steps) {
    if (const auto* collective = std::get_if<PartCollective>(&step)) {
      all.push_back(*collective);
    }
  }
  return all;
}

/// Bytes that a rank sends to ranks of other nodes, if every collective is one at its lower bound.
Bytes sent_across(const CodedExchange& steps, const GroupShape& group) {
  const auto nodes = static_cast<double>(group.members / group.per_node);
  Bytes sum;
  for (const PartCollective& one : collectives_of(steps)) {
    if (one.part != GroupPart::inside) {
      sum += one.payload * ((nodes - 1) / nodes) *
             (one.kind == CollectiveKind::all_reduce ? 2.0 : 1.0);
    }
  }
  return sum;
}

/// The fixed times of coding, in order; all else of it must be nothing.
std::vector<double> fixed_times(const CodedExchange& steps) {
  std::vector<double> times;
  for (const ExchangeStep& step : steps) {
    if (const auto* work = std::get_if<CodecWork>(&step)) {
      CHECK(work->kernels.empty());
      times.push_back(work->fixed.value);
    }
  }
  return times;
}

constexpr std::array<CollectiveKind, 4> kKinds = {
    CollectiveKind::all_reduce, CollectiveKind::reduce_scatter, CollectiveKind::all_gather,
    CollectiveKind::all_to_all};

}  // namespace

TEST_CASE("coding alternates with sending, and begins and ends every exchange", "[compress]") {
  for (const Compressor& row : compressors()) {
    for (const CollectiveKind kind : kKinds) {
      for (const GroupShape& group : {kFlat, kGrid, GroupShape{4, 4}}) {
        INFO(row.name << " " << name_of(kind) << " of " << group.members);
        const CodedExchange steps = exchange(kind, wire_compression(row.name), message(), group);
        CHECK(std::holds_alternative<CodecWork>(steps.front()));
        CHECK(std::holds_alternative<CodecWork>(steps.back()));
        for (const PartCollective& one : collectives_of(steps)) {
          CHECK(one.is_coded);
          CHECK(one.payload > 0_B);
        }
      }
    }
  }
}

TEST_CASE("a sum that is no all-reduce becomes an all-to-all and an all-gather", "[compress]") {
  const auto steps = collectives_of(
      exchange(CollectiveKind::all_reduce, wire_compression("block-int8"), message(), kFlat));
  REQUIRE(steps.size() == 2);
  const Bytes coded(kElements * (1 + 4.0 / 2048));
  CHECK(steps[0].kind == CollectiveKind::all_to_all);
  CHECK(steps[0].payload == coded);
  CHECK(steps[1].kind == CollectiveKind::all_gather);
  CHECK(steps[1].payload == coded);
  const auto scattered = collectives_of(
      exchange(CollectiveKind::reduce_scatter, wire_compression("block-int8"), message(), kFlat));
  REQUIRE(scattered.size() == 1);
  CHECK(scattered[0].kind == CollectiveKind::all_to_all);
}

TEST_CASE("top-k gathers the codes of all ranks, so its bytes grow with them", "[compress]") {
  for (const std::size_t members : {2U, 4U, 16U}) {
    const auto steps = collectives_of(
        exchange(CollectiveKind::all_reduce, wire_compression("top-k"), message(), {members, 1}));
    REQUIRE(steps.size() == 1);
    CHECK(steps[0].kind == CollectiveKind::all_gather);
    const Codec& codec = *compressor("top-k").codec;
    CHECK(steps[0].payload ==
          static_cast<double>(members) * codec.wire(CodecOptions(codec.options), message()));
  }
}

TEST_CASE("codes that add up are all-reduced, in as many rounds as they need", "[compress]") {
  const auto casts = collectives_of(
      exchange(CollectiveKind::all_reduce, wire_compression("cast"), message(), kFlat));
  REQUIRE(casts.size() == 2);  // the largest magnitude first
  CHECK(casts[0].payload == 4_B);
  CHECK(casts[1].payload == Bytes(kElements));
  const auto factors = collectives_of(
      exchange(CollectiveKind::reduce_scatter, wire_compression("power-sgd"), message(), kFlat));
  REQUIRE(factors.size() == 2);
  CHECK(factors[0].kind == CollectiveKind::all_reduce);
  CHECK(factors[1].kind == CollectiveKind::all_reduce);
  const auto drawn = collectives_of(
      exchange(CollectiveKind::reduce_scatter, wire_compression("random-k"), message(), kFlat));
  REQUIRE(drawn.size() == 1);
  CHECK(drawn[0].kind == CollectiveKind::reduce_scatter);
}

TEST_CASE("ZeRO++ sends a quarter of the gradients and half of the parameters between nodes",
          "[compress]") {
  // Wang et al. 2023, table 1, of M = 2 bytes per parameter, leaving out scales and (k - 1) / k:
  // ZeRO-3 gathers M twice and scatters M; qgZ scatters 0.25 M; qwZ gathers 0.5 M; the second
  // gather is 0 with hpZ, and without it 0.5 M too.
  const double m = kElements * 2 / 4;  // a GPU's part, four in a node
  const double half = 0.5;             // (k - 1) / k of two nodes
  const double scales = 4.0 / 2048;
  const Bytes gradients = sent_across(
      exchange(CollectiveKind::reduce_scatter, wire_compression("block-int4"), message(), kGrid),
      kGrid);
  CHECK(gradients.value == Approx(half * m * (0.25 + scales / 2)));
  const Bytes parameters = sent_across(
      exchange(CollectiveKind::all_gather, wire_compression("block-int8", true), message(), kGrid),
      kGrid);
  CHECK(parameters.value == Approx(half * m * (0.5 + scales / 2)));
  CHECK((gradients + parameters).value == Approx(half * 0.75 * m).epsilon(0.005));
  CHECK((gradients + 2.0 * parameters).value == Approx(half * 1.25 * m).epsilon(0.005));
}

TEST_CASE("two hops code a sum twice, and need nodes with several members", "[compress]") {
  const CodedExchange two =
      exchange(CollectiveKind::reduce_scatter, wire_compression("block-int4"), message(), kGrid);
  const auto sent = collectives_of(two);
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].part == GroupPart::inside);
  CHECK(sent[1].part == GroupPart::across);
  CHECK(sent[0].payload.value == Approx(4 * sent[1].payload.value).epsilon(0.001));
  CHECK(collectives_of(exchange(CollectiveKind::reduce_scatter, wire_compression("block-int4"),
                                message(), kFlat))
            .size() == 1);
}

TEST_CASE("between nodes only, a node's own traffic is as it was", "[compress]") {
  const Bytes whole = message().bytes();
  for (const Compressor& row : compressors()) {
    INFO(row.name);
    const auto sum = collectives_of(
        exchange(CollectiveKind::all_reduce, wire_compression(row.name, true), message(), kGrid));
    CHECK((!sum.front().is_coded && sum.front().kind == CollectiveKind::reduce_scatter));
    CHECK((!sum.back().is_coded && sum.back().kind == CollectiveKind::all_gather));
    CHECK(sum.front().payload == whole);
    for (const PartCollective& one : sum) {
      CHECK(one.is_coded == (one.part == GroupPart::across));
    }
  }
  const WireCompression how = wire_compression("block-int8", true);
  CHECK_FALSE(is_coded(how, {4, 4}));
  CHECK_FALSE(is_coded(how, {1, 1}));
  CHECK(is_coded(how, kFlat));
  CHECK_FALSE(uses_levels(CollectiveKind::all_reduce, how, kFlat));
  CHECK(uses_levels(CollectiveKind::all_reduce, how, kGrid));
}

TEST_CASE("measured rates take the place of a codec's kernels", "[compress]") {
  // B bytes at E to encode and D to decode them; eight members.
  const double bytes = message().bytes().value;
  const double encode = bytes / 2e9;
  const double decode = bytes / 5e9;
  const auto times = [](std::string_view name, CollectiveKind kind, const GroupShape& group,
                        bool between_nodes_only = false) {
    WireCompression how = wire_compression(name, between_nodes_only);
    how.rates = CodecRates{2_GBps, 5_GBps};
    return fixed_times(exchange(kind, how, message(), group));
  };
  const auto is_about = [](const std::vector<double>& found, const std::vector<double>& expected) {
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i] == Approx(expected[i]));
    }
  };
  // All of it; eight codes of an eighth, and their sum again; all of it.
  is_about(times("block-int8", CollectiveKind::all_reduce, kFlat),
           {encode, decode + encode / 8, decode});
  is_about(times("block-int8", CollectiveKind::reduce_scatter, kFlat), {encode, decode});
  is_about(times("block-int8", CollectiveKind::all_gather, kFlat), {encode / 8, decode});
  is_about(times("block-int8", CollectiveKind::all_to_all, kFlat), {encode, decode});
  // Each rank decodes the codes of all eight.
  is_about(times("top-k", CollectiveKind::all_reduce, kFlat), {encode, 8 * decode});
  // Two rounds of P and Q, and of the largest magnitude and the numbers.
  is_about(times("power-sgd", CollectiveKind::all_reduce, kFlat), {encode / 2, encode / 2, decode});
  is_about(times("cast", CollectiveKind::reduce_scatter, kFlat),
           {encode / 2, encode / 2, decode / 8});
  is_about(times("random-k", CollectiveKind::all_reduce, kFlat), {encode, decode});
  // Four codes of a quarter inside a node, two of an eighth across.
  is_about(times("block-int4", CollectiveKind::all_reduce, kGrid),
           {encode, decode + encode / 4, decode / 4 + encode / 8, decode});
  // A quarter of it goes between the nodes.
  is_about(times("block-int8", CollectiveKind::all_gather, kGrid, true), {encode / 8, decode / 4});
}

}  // namespace foretrain::testing
