// SPDX-License-Identifier: Apache-2.0
// Collectives against sums by hand: rank r holds (r + 1) x, where x is a small whole number, so
// that every sum is exact, whatever its order.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/validation/trainer/ranks.hpp"
#include "validation/trainer/communicator.hpp"

namespace foretrain::testing {
namespace {

using namespace trainer;
using Numbers = std::vector<float>;

// x at a place of a tensor, times a factor.
Numbers pattern(std::int64_t count, int factor) {
  Numbers all(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i] = static_cast<float>(factor * static_cast<int>(i % 97));
  }
  return all;
}

Numbers part(const Numbers& of, int index, std::int64_t count) {
  const auto first = of.begin() + index * count;
  return {first, first + count};
}

int sum_of_factors(int size) { return size * (size + 1) / 2; }

// 300,007 numbers are more than one segment of 1 MiB for each rank, and divide by nothing.
constexpr std::int64_t kLarge = 300'007;

TEST_CASE("all-reduce leaves the sum of all ranks on each", "[trainer]") {
  const int size = GENERATE(2, 3, 4);
  const std::int64_t count = GENERATE(std::int64_t{1}, std::int64_t{2}, std::int64_t{13}, kLarge);
  const auto results = run_ranks(size, [&](RankOfTest& rank) {
    const Memory memory = rank.upload(pattern(count, rank.world.rank() + 1));
    rank.all()->all_reduce(kCompute, memory, Reduction::sum);
    return RankOfTest::download(memory);
  });
  for (const Numbers& each : results) {
    CHECK(each == pattern(count, sum_of_factors(size)));
  }
}

TEST_CASE("all-reduce of the maximum keeps the largest, below zero too", "[trainer]") {
  const auto results = run_ranks(3, [&](RankOfTest& rank) {
    const auto r = static_cast<float>(rank.world.rank());
    const Memory memory = rank.upload({-5 - r, 3 - r, r, 1 - (r - 1) * (r - 1), -1});
    rank.all()->all_reduce(kCompute, memory, Reduction::maximum);
    return RankOfTest::download(memory);
  });
  for (const Numbers& each : results) {
    CHECK(each == Numbers{-5, 3, 2, 1, -1});
  }
}

TEST_CASE("sums of half precision round each sum to half precision", "[trainer]") {
  // 2048 + 1 lies between 2048 and 2050 and goes to the even one; 2048 + 3 goes to 2052.
  const int count = GENERATE(3, 8, 21);
  const auto results = run_ranks(2, [&](RankOfTest& rank) {
    Numbers own(static_cast<std::size_t>(count), rank.world.rank() == 0 ? 2048.F : 1.F);
    own.back() = rank.world.rank() == 0 ? 2048.F : 3.F;
    const Memory numbers = rank.upload(own);
    const Memory halves = rank.device.allocate(count, Type::fp16, MemoryClass::buffers);
    rank.device.copy(kCompute, halves, numbers);
    rank.all()->all_reduce(kCompute, halves, Reduction::sum);
    rank.device.copy(kCompute, numbers, halves);
    return RankOfTest::download(numbers);
  });
  Numbers expected(static_cast<std::size_t>(count), 2048.F);
  expected.back() = 2052;
  CHECK(results[0] == expected);
  CHECK(results[1] == expected);
}

TEST_CASE("all-gather puts each rank's part in its place", "[trainer]") {
  const int size = GENERATE(2, 3, 4);
  const std::int64_t count = GENERATE(std::int64_t{1}, std::int64_t{7}, kLarge);
  const bool is_in_place = GENERATE(false, true);
  const auto results = run_ranks(size, [&](RankOfTest& rank) {
    const Memory in = rank.upload(pattern(count, rank.world.rank() + 1));
    const Memory out = rank.upload(Numbers(static_cast<std::size_t>(size * count), -1.F));
    const Tensor own = out.tensor().part(rank.world.rank() * count, count);
    if (is_in_place) {
      rank.device.copy(kCompute, own, in);
    }
    rank.all()->all_gather(kCompute, out, is_in_place ? own : in.tensor());
    return RankOfTest::download(out);
  });
  for (const Numbers& each : results) {
    for (int r = 0; r < size; ++r) {
      CHECK(part(each, r, count) == pattern(count, r + 1));
    }
  }
}

TEST_CASE("a single byte of each rank is gathered", "[trainer]") {
  const auto results = run_ranks(3, [&](RankOfTest& rank) {
    const Memory out = rank.device.allocate(3, Type::int8, MemoryClass::buffers);
    const Memory in = rank.device.allocate(1, Type::int8, MemoryClass::buffers);
    *in.tensor().as<std::int8_t>() = static_cast<std::int8_t>(10 + rank.world.rank());
    rank.all()->all_gather(kCompute, out, in);
    const auto* const bytes = out.tensor().as<std::int8_t>();
    return Numbers{static_cast<float>(bytes[0]), static_cast<float>(bytes[1]),
                   static_cast<float>(bytes[2])};
  });
  for (const Numbers& each : results) {
    CHECK(each == Numbers{10, 11, 12});
  }
}

TEST_CASE("reduce-scatter leaves each rank the sum of its part", "[trainer]") {
  const int size = GENERATE(2, 3, 4);
  const std::int64_t count = GENERATE(std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, kLarge);
  const bool is_in_place = GENERATE(false, true);
  const auto results = run_ranks(size, [&](RankOfTest& rank) {
    const Memory in = rank.upload(pattern(size * count, rank.world.rank() + 1));
    const Memory apart = rank.upload(Numbers(static_cast<std::size_t>(count), -1.F));
    const Tensor out =
        is_in_place ? in.tensor().part(rank.world.rank() * count, count) : apart.tensor();
    rank.all()->reduce_scatter(kCompute, out, in);
    return RankOfTest::download(out);
  });
  for (int r = 0; r < size; ++r) {
    CHECK(results[static_cast<std::size_t>(r)] ==
          part(pattern(size * count, sum_of_factors(size)), r, count));
  }
}

TEST_CASE("reduce-scatter sums half precision", "[trainer]") {
  const std::int64_t count = 11;  // 4 x 96 x 6 < 2048, so halves are exact
  const auto results = run_ranks(3, [&](RankOfTest& rank) {
    const Memory in = rank.upload(pattern(3 * count, rank.world.rank() + 1));
    const Memory halves = rank.device.allocate(3 * count, Type::fp16, MemoryClass::buffers);
    const Memory out = rank.device.allocate(count, Type::fp16, MemoryClass::buffers);
    rank.device.copy(kCompute, halves, in);
    rank.all()->reduce_scatter(kCompute, out, halves);
    const Memory sums = rank.upload(Numbers(static_cast<std::size_t>(count)));
    rank.device.copy(kCompute, sums, out);
    return RankOfTest::download(sums);
  });
  for (int r = 0; r < 3; ++r) {
    CHECK(results[static_cast<std::size_t>(r)] == part(pattern(3 * count, 6), r, count));
  }
}

TEST_CASE("all-to-all turns parts by receiver into parts by sender", "[trainer]") {
  const int size = GENERATE(2, 3, 4);
  const std::int64_t count = GENERATE(std::int64_t{1}, std::int64_t{5}, kLarge);
  const auto results = run_ranks(size, [&](RankOfTest& rank) {
    const Memory in = rank.upload(pattern(size * count, rank.world.rank() + 1));
    const Memory out = rank.upload(Numbers(static_cast<std::size_t>(size * count)));
    rank.all()->all_to_all(kCompute, out, in);
    return RankOfTest::download(out);
  });
  for (int r = 0; r < size; ++r) {
    for (int from = 0; from < size; ++from) {
      CHECK(part(results[static_cast<std::size_t>(r)], from, count) ==
            part(pattern(size * count, from + 1), r, count));
    }
  }
}

TEST_CASE("two ranks send to each other at once, on a stream for each way", "[trainer]") {
  const auto results = run_ranks(2, [&](RankOfTest& rank) {
    const Stream out = rank.device.add_stream("out");
    const Stream in = rank.device.add_stream("in");
    const auto all = rank.all();
    const int peer = 1 - rank.world.rank();
    const Memory first = rank.upload(pattern(kLarge, rank.world.rank() + 1));
    const Memory second = rank.upload({static_cast<float>(rank.world.rank())});
    const Memory from_first = rank.upload(Numbers(static_cast<std::size_t>(kLarge)));
    const Memory from_second = rank.upload({-1});
    all->send(out, first, peer);
    all->send(out, second, peer);
    all->receive(in, from_first, peer);
    all->receive(in, from_second, peer);
    rank.device.synchronize();
    Numbers got = RankOfTest::download(from_first);
    got.push_back(*from_second.tensor().as<float>());
    return got;
  });
  for (int r = 0; r < 2; ++r) {
    Numbers expected = pattern(kLarge, 2 - r);
    expected.push_back(static_cast<float>(1 - r));
    CHECK(results[static_cast<std::size_t>(r)] == expected);
  }
}

TEST_CASE("a collective on a stream of its own does not hold up its caller", "[trainer]") {
  // Rank 1 joins only when rank 0 has come back from its call and has computed.
  std::atomic<bool> has_come_back = false;
  const auto results = run_ranks(2, [&](RankOfTest& rank) {
    const Stream stream = rank.device.add_stream("gradients");
    const auto all = rank.all();
    const Memory sums = rank.upload(pattern(kLarge, rank.world.rank() + 1));
    const Memory other = rank.upload({1, 2, 3});
    while (rank.world.rank() == 1 && !has_come_back) {
      std::this_thread::yield();
    }
    all->all_reduce(stream, sums, Reduction::sum);
    rank.device.accumulate(kCompute, other, other, 1);
    has_come_back = true;
    rank.device.wait(kCompute, rank.device.record(stream));
    rank.device.accumulate(kCompute, sums, sums, 1);  // twice the sum, if it came first
    Numbers got = RankOfTest::download(sums);
    got.push_back(other.tensor().as<float>()[2]);
    return got;
  });
  Numbers expected = pattern(kLarge, 6);
  expected.push_back(6);
  CHECK(results[0] == expected);
  CHECK(results[1] == expected);
}

TEST_CASE("groups of one name and other ranks do not meet", "[trainer]") {
  const auto results = run_ranks(4, [&](RankOfTest& rank) {
    const int row = rank.world.rank() / 2;
    const auto pair = rank.world.group({2 * row, 2 * row + 1}, "row");
    const auto alone = rank.world.group({rank.world.rank()}, "alone");
    const Memory sum = rank.upload({static_cast<float>(rank.world.rank())});
    pair->all_reduce(kCompute, sum, Reduction::sum);
    const Memory kept = rank.upload({7});
    const Memory out = rank.upload({0});
    alone->all_reduce(kCompute, kept, Reduction::sum);
    alone->reduce_scatter(kCompute, out, kept);
    return Numbers{*sum.tensor().as<float>(), *out.tensor().as<float>(),
                   static_cast<float>(pair->rank()), static_cast<float>(alone->size())};
  });
  CHECK(results[0] == Numbers{1, 7, 0, 1});
  CHECK(results[1] == Numbers{1, 7, 1, 1});
  CHECK(results[2] == Numbers{5, 7, 0, 1});
  CHECK(results[3] == Numbers{5, 7, 1, 1});
}

TEST_CASE("no rank leaves a barrier before the last has come", "[trainer]") {
  std::atomic<int> arrived = 0;
  const auto results = run_ranks(4, [&](RankOfTest& rank) {
    Numbers seen;
    for (int round = 1; round <= 3; ++round) {
      ++arrived;
      rank.world.barrier();
      seen.push_back(arrived >= 4 * round ? 1.F : 0.F);
      rank.world.barrier();
    }
    seen.push_back(static_cast<float>(rank.world.maximum(0.5 - rank.world.rank())));
    return seen;
  });
  for (const Numbers& each : results) {
    CHECK(each == Numbers{1, 1, 1, 0.5});
  }
}

TEST_CASE("a collective that a rank does not join fails by its name, not for ever", "[trainer]") {
  std::string message;
  std::atomic<bool> has_failed = false;
  run_ranks(
      2,
      [&](RankOfTest& rank) {
        const Stream stream = rank.device.add_stream("gradients");
        const auto all = rank.all("data");
        const Memory sum = rank.upload({1, 2, 3});
        while (rank.world.rank() == 1 && !has_failed) {
          std::this_thread::yield();
        }
        if (rank.world.rank() == 0) {
          all->all_reduce(stream, sum, Reduction::sum);
          try {
            rank.device.synchronize();
          } catch (const std::runtime_error& error) {
            message = error.what();
          }
          has_failed = true;
        }
        return Numbers{};
      },
      std::chrono::seconds(2));
  CHECK_THAT(message,
             Catch::Matchers::StartsWith("all-reduce of group 'data' on its rank 0 of 2:"));
}

TEST_CASE("what a processor cannot reduce is refused when it is asked", "[trainer]") {
  run_ranks(1, [&](RankOfTest& rank) {
    const Memory codes = rank.device.allocate(4, Type::int8, MemoryClass::buffers);
    CHECK_THROWS_AS(rank.all()->all_reduce(kCompute, codes, Reduction::sum), std::runtime_error);
    return Numbers{};
  });
}

}  // namespace
}  // namespace foretrain::testing
