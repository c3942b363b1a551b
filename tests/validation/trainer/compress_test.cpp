// The trainer's compressed sums: what arrives, what is kept for the next step, and that they send
// what the simulator says.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/compress.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/random.hpp"
#include "tests/support/catch.hpp"
#include "tests/validation/trainer/thread_world.hpp"

namespace foretrain::testing {
namespace {

using trainer::BucketShape;
using trainer::kCompute;
using trainer::Memory;
using trainer::MemoryClass;
using trainer::Type;
using Numbers = std::vector<float>;

WireCompression with(std::string_view name, std::string_view option = "", double value = 0) {
  const Compressor& row = compressor(name);
  WireCompression how{&row, CodecOptions(row.codec->options), false, 1};
  if (name == "cast") {
    how.options.set("to", 1);
  }
  if (!option.empty()) {
    how.options.set(option, value);
  }
  return how;
}

/// Numbers in (-1, 1) that depend on all three.
Numbers noise(std::int64_t count, int rank, std::uint64_t seed) {
  Numbers numbers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::uint64_t word = random_word({seed, static_cast<std::uint64_t>(rank), i});
    numbers[i] = static_cast<float>(static_cast<double>(word >> 11U) * 0x1p-52 - 1);
  }
  return numbers;
}

/// Gradients of a rank in a step.
using Gradients = std::function<Numbers(int rank, int step)>;

struct Outcome {
  std::vector<Numbers> sums;  ///< by step, of the last rank
  std::vector<Called> calls;  ///< of the first rank
  std::vector<std::string> spans;
  std::int64_t buffers = 0;
  bool is_alike = true;    ///< all ranks have the same sums
  bool allocates = false;  ///< after it was made
};

/// Sums bucket 0 in so many steps.
Outcome summed(const WireCompression* how, const BucketShape& shape, int ranks, int steps,
               const Gradients& gradients) {
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  on_ranks(ranks, [&](int rank, Meeting& meeting) {
    Outcome& outcome = outcomes[static_cast<std::size_t>(rank)];
    const auto device = trainer::cpu_device();
    ThreadGroup group(rank, meeting);
    const Memory gradient = device->allocate(shape.count, Type::fp32, MemoryClass::gradients);
    const auto sum = how == nullptr ? trainer::plain_sum()
                                    : trainer::compressed_sum(*device, *how, {shape}, ranks);
    outcome.buffers = device->current_bytes(MemoryClass::buffers);
    device->start_spans();
    for (int step = 0; step < steps; ++step) {
      Numbers numbers = gradients(rank, step);
      device->upload(gradient, numbers.data());
      sum->all_reduce(kCompute, 0, gradient, group);
      device->download(numbers.data(), gradient);
      outcome.sums.push_back(std::move(numbers));
    }
    for (const trainer::Span& span : device->take_spans()) {
      outcome.spans.push_back(span.name);
    }
    outcome.allocates = device->current_bytes(MemoryClass::buffers) != outcome.buffers;
    outcome.calls = group.calls();
  });
  Outcome outcome = outcomes.back();
  outcome.calls = outcomes.front().calls;
  outcome.is_alike = std::all_of(outcomes.begin(), outcomes.end(),
                                 [&](const Outcome& other) { return other.sums == outcome.sums; });
  return outcome;
}

/// The largest difference over the largest of `expected`.
double distance(const Numbers& found, const Numbers& expected) {
  double most = 0;
  double size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(found[i]) - expected[i]));
    size = std::max(size, std::abs(static_cast<double>(expected[i])));
  }
  return most / size;
}

Numbers total(const std::vector<Numbers>& all) {
  Numbers sum(all.front().size());
  for (const Numbers& one : all) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
      sum[i] += one[i];
    }
  }
  return sum;
}

BucketShape vector_of(std::int64_t count) { return {count, {{0, 1, count}}}; }

/// A matrix [6, 5], a vector of 7, a matrix [4, 9], and two numbers of nobody.
BucketShape mixed() { return {75, {{0, 6, 5}, {30, 1, 7}, {37, 4, 9}}}; }

/// A gradient of mixed(): nothing but zeros is of nobody.
Numbers mixed_noise(int rank, std::uint64_t seed) {
  Numbers numbers = noise(mixed().count, rank, seed);
  std::fill(numbers.end() - 2, numbers.end(), 0.0F);
  return numbers;
}

/// A gradient in the first step, nothing in those that follow.
Gradients once(std::int64_t count, std::uint64_t seed) {
  return [count, seed](int rank, int step) {
    return step == 0 ? noise(count, rank, seed) : Numbers(static_cast<std::size_t>(count));
  };
}

}  // namespace

TEST_CASE("a compressor that leaves nothing out changes nothing but rounding", "[trainer]") {
  const Gradients gradients = [](int rank, int step) {
    return mixed_noise(rank, static_cast<std::uint64_t>(step));
  };
  for (const int ranks : {2, 3}) {
    const Outcome plain = summed(nullptr, mixed(), ranks, 3, gradients);
    for (const WireCompression& how :
         {with("top-k", "density", 1), with("power-sgd", "rank", 1024)}) {
      INFO(how.method->name << " on " << ranks);
      const Outcome outcome = summed(&how, mixed(), ranks, 3, gradients);
      CHECK(outcome.is_alike);
      for (std::size_t step = 0; step < 3; ++step) {
        CHECK(distance(outcome.sums[step], plain.sums[step]) < 3e-6);
      }
    }
  }
}

TEST_CASE("casts round to 11 bits, and whole numbers not at all", "[trainer]") {
  const WireCompression how = with("cast");
  const Outcome rounded = summed(&how, vector_of(100), 3, 1, once(100, 5));
  const Outcome plain = summed(nullptr, vector_of(100), 3, 1, once(100, 5));
  // Three roundings of numbers up to 1 and two of sums up to 2 and 3, each by 2^-12 of a power
  // of 2.
  CHECK(distance(rounded.sums[0], plain.sums[0]) < 3 * 0x1p-11);
  CHECK(distance(rounded.sums[0], plain.sums[0]) > 0);
  const Gradients whole = [](int rank, int) {
    return Numbers{1.0F, 40.0F, static_cast<float>(rank)};
  };
  CHECK(summed(&how, vector_of(3), 3, 1, whole).sums[0] == Numbers{3, 120, 3});
}

TEST_CASE("blocks of integers are exact where their scale is, and else within half a scale",
          "[trainer]") {
  // 3 blocks of 8 on 2 ranks: the second owns a block and an empty one; the last number is alone.
  const WireCompression how = with("block-int8", "block", 8);
  const auto codes = [](int, int) {
    Numbers numbers(17);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = i % 8 == 0 ? 127 : static_cast<float>(i) - 9;
    }
    return numbers;
  };
  const Numbers once_each = codes(0, 0);
  for (const int ranks : {2, 3, 5}) {
    INFO(ranks);
    const Outcome exact = summed(&how, vector_of(17), ranks, 2, codes);
    CHECK(exact.is_alike);
    for (std::size_t i = 0; i < once_each.size(); ++i) {
      CHECK(exact.sums[1][i] == static_cast<float>(ranks) * once_each[i]);
    }
    // A rank's scale is at most 1 / 127, the sum's at most `ranks` times that.
    const Outcome plain = summed(nullptr, vector_of(1001), ranks, 1, once(1001, 3));
    const Outcome coded = summed(&how, vector_of(1001), ranks, 1, once(1001, 3));
    for (std::size_t i = 0; i < 1001; ++i) {
      CHECK(std::abs(coded.sums[0][i] - plain.sums[0][i]) <= 1.01 * ranks / 127);
    }
    CHECK(coded.sums != plain.sums);
  }
}

TEST_CASE("what top-k leaves out is sent in later steps", "[trainer]") {
  // A quarter of the entries each time: after four steps all are sent, each once.
  const WireCompression how = with("top-k", "density", 0.25);
  const Outcome plain = summed(nullptr, vector_of(40), 3, 1, once(40, 8));
  const Outcome outcome = summed(&how, vector_of(40), 3, 5, once(40, 8));
  CHECK(outcome.is_alike);
  CHECK(distance(outcome.sums[0], plain.sums[0]) > 0.1);
  CHECK(distance(total({outcome.sums.begin(), outcome.sums.begin() + 4}), plain.sums[0]) < 1e-6);
  CHECK(outcome.sums[4] == Numbers(40));
}

TEST_CASE("what the factors miss is sent in later steps", "[trainer]") {
  // One direction of each matrix a step: six and four rows are done after six steps.
  const WireCompression how = with("power-sgd", "rank", 1);
  const Gradients gradients = [](int rank, int step) {
    return step == 0 ? mixed_noise(rank, 4) : Numbers(75);
  };
  const Outcome plain = summed(nullptr, mixed(), 2, 1, gradients);
  const Outcome outcome = summed(&how, mixed(), 2, 8, gradients);
  CHECK(outcome.is_alike);
  const Numbers first = outcome.sums[0];
  const Numbers all = total(outcome.sums);
  const auto part = [](const Numbers& numbers, std::ptrdiff_t from, std::ptrdiff_t count) {
    return Numbers(numbers.begin() + from, numbers.begin() + from + count);
  };
  for (const auto& [from, count] : {std::pair{0, 30}, {37, 36}}) {
    CHECK(distance(part(first, from, count), part(plain.sums[0], from, count)) > 0.05);
    CHECK(distance(part(all, from, count), part(plain.sums[0], from, count)) < 1e-4);
  }
  CHECK(distance(part(first, 30, 7), part(plain.sums[0], 30, 7)) < 1e-6);  // a vector
}

TEST_CASE("a matrix of rank one is its factors, also after a step without a gradient",
          "[trainer]") {
  // Rank r has (r + 1) u v': of all of them one column is enough, at once. Zeros make the right
  // factor zero, which the next product must not stay.
  const WireCompression how = with("power-sgd", "rank", 1);
  const Numbers u = noise(20, 0, 1);
  const Numbers v = noise(30, 0, 2);
  const Gradients product = [&](int rank, int step) {
    Numbers numbers;
    numbers.reserve(u.size() * v.size());
    for (const float a : u) {
      for (const float b : v) {
        numbers.push_back(step == 1 ? 0 : static_cast<float>(rank + 1) * a * b);
      }
    }
    return numbers;
  };
  const BucketShape shape{600, {{0, 20, 30}}};
  const Outcome plain = summed(nullptr, shape, 3, 1, product);
  // In one step nothing is left over, so the second sum is zero but for rounding.
  const Outcome outcome = summed(&how, shape, 3, 4, product);
  for (const std::size_t step : {0U, 2U, 3U}) {
    CHECK(distance(outcome.sums[step], plain.sums[0]) < 1e-5);
  }
}

TEST_CASE("a right factor that became zero comes back", "[trainer]") {
  const WireCompression how = with("power-sgd", "rank", 2);
  const BucketShape shape{30, {{0, 6, 5}}};
  const Gradients late = [](int rank, int step) {
    return step == 0 ? Numbers(30) : noise(30, rank, 1);
  };
  const Outcome outcome = summed(&how, shape, 2, 2, late);
  CHECK(outcome.sums[0] == Numbers(30));
  CHECK(outcome.sums[1] != Numbers(30));
}

TEST_CASE("sums send what the simulator says, and code as often", "[trainer]") {
  constexpr int kRanks = 4;
  constexpr std::int64_t kRows = 64;
  constexpr std::int64_t kColumns = 96;
  const BucketShape shape{kRows * kColumns, {{0, kRows, kColumns}}};
  const Message message{static_cast<double>(shape.count), 4_B, Dtype::fp32, kRows, kColumns};
  for (const WireCompression& how : {with("cast"), with("block-int8", "block", 64),
                                     with("top-k", "density", 0.125), with("power-sgd")}) {
    INFO(how.method->name);
    const Outcome outcome = summed(&how, shape, kRanks, 1, once(shape.count, 1));
    std::vector<std::string> spans;
    std::size_t calls = 0;
    for (const ExchangeStep& step :
         exchange(CollectiveKind::all_reduce, how, message, {kRanks, 1})) {
      if (const auto* part = std::get_if<PartCollective>(&step)) {
        REQUIRE(calls < outcome.calls.size());
        CHECK(outcome.calls[calls].kind == part->kind);
        CHECK(static_cast<double>(outcome.calls[calls].bytes) == part->payload.value);
        ++calls;
        spans.emplace_back("exchange");
      } else {
        spans.emplace_back("");  // encode or decode, or one after the other
      }
    }
    CHECK(calls == outcome.calls.size());
    std::vector<std::string> found;  // coding between two exchanges is one step
    for (const std::string& name : outcome.spans) {
      if (name == "exchange" || found.empty() || !found.back().empty()) {
        found.push_back(name == "exchange" ? name : "");
      }
    }
    CHECK(found == spans);
    CHECK(outcome.spans.front() == "encode");
    CHECK(outcome.spans.back() == "decode");
    CHECK(outcome.buffers > 0);
    CHECK_FALSE(outcome.allocates);
  }
}

TEST_CASE("what the trainer does not compress with is refused by name", "[trainer]") {
  for (const Compressor& row : compressors()) {
    const bool is_ours = row.name == "cast" || row.name == "block-int8" || row.name == "top-k" ||
                         row.name == "power-sgd";
    const WireCompression how = with(row.name);
    INFO(row.name);
    CHECK(trainer::refuse(how).has_value() != is_ours);
    if (!is_ours) {
      CHECK(*trainer::refuse(how) == "the trainer has no '" + std::string(row.name) +
                                         "'; it has cast, block-int8, top-k, power-sgd");
      const auto device = trainer::cpu_device();
      CHECK_THROWS_AS(trainer::compressed_sum(*device, how, {}, 2), std::runtime_error);
    }
  }
  CHECK(trainer::refuse(with("cast", "to", 2))->find("fp16 only") != std::string::npos);
  WireCompression chunked = with("block-int8");
  chunked.chunks = 2;
  CHECK(trainer::refuse(chunked)->find("chunks") != std::string::npos);
}

}  // namespace foretrain::testing
