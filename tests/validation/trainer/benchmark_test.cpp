// The benchmarks' tables: that calibration reads them, that bytes are those that models/blocks
// count, and that rates mean to the simulator what was measured.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/benchmark.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "models/blocks/blocks.hpp"
#include "tests/support/catch.hpp"
#include "tests/validation/trainer/ranks.hpp"
#include "tests/validation/trainer/thread_world.hpp"
#include "validation/calibrate/collective_table.hpp"
#include "validation/calibrate/kernel_table.hpp"
#include "validation/csv.hpp"
#include "validation/trainer/benchmark_timer.hpp"

namespace foretrain::testing {
namespace {

using validation::CsvTable;

/// What rank 0 of so many writes.
std::string written(
    int ranks,
    const std::function<void(trainer::Device&, trainer::World&, std::ostream&)>& benchmark) {
  std::vector<std::ostringstream> texts(static_cast<std::size_t>(ranks));
  on_ranks(ranks, [&](int rank, Meeting& meeting) {
    const auto device = trainer::cpu_device();
    ThreadWorld world(rank, meeting);
    benchmark(*device, world, texts[static_cast<std::size_t>(rank)]);
  });
  for (std::size_t rank = 1; rank < texts.size(); ++rank) {
    CHECK(texts[rank].str().empty());
  }
  return texts.front().str();
}

constexpr std::int64_t kHidden = 64;
constexpr std::int64_t kTokens = 32;
constexpr std::int64_t kVocabulary = 128;

trainer::KernelSweep small_sweep() {
  trainer::KernelSweep sweep;
  sweep.hidden = {kHidden};
  sweep.tokens = {kTokens};
  sweep.tensor = {1, 2};
  sweep.squares = {16};
  sweep.sequence = 16;
  sweep.head_dim = 32;
  sweep.vocabulary = kVocabulary;
  sweep.seconds = 0;  // one call and no more
  sweep.footprint = 1 << 16;
  return sweep;
}

/// The kernels of one layer of the sweep's GPT, of its head and its embedding, by name.
std::map<std::string, Bytes> bytes_of_blocks() {
  Model model;
  model.layers = 1;
  model.hidden = kHidden;
  model.heads = model.kv_heads = 2;
  model.head_dim = 32;
  model.ffn = 4 * kHidden;
  model.vocabulary = kVocabulary;
  model.position = PositionKind::learned;
  model.max_positions = 16;
  model.qkv_bias = model.attention_output_bias = model.mlp_bias = true;
  Shard shard;
  shard.micro_batch = 2;
  shard.sequence = 16;
  shard.dtype = Dtype::fp32;
  std::map<std::string, Bytes> bytes;
  for (const Work& work :
       {layer_work(model, shard), head_work(model, shard, true), embedding_work(model, shard)}) {
    for (const std::vector<Step>& steps : {work.forward, work.backward}) {
      for (const Step& step : steps) {
        if (const auto* memory = std::get_if<MemoryBound>(&step.what)) {
          bytes[std::string(step.name)] = memory->bytes;
        }
      }
    }
  }
  bytes["cross_entropy"] += bytes["cross_entropy_gradient"];
  return bytes;
}

}  // namespace

TEST_CASE("calibration reads every product and every classed kernel of the kernel table",
          "[trainer]") {
  const std::string text = written(2, [](auto& device, auto& world, auto& out) {
    benchmark_kernels(device, world, small_sweep(), out);
  });
  config::Sources sources;
  validation::KernelTableOptions options;
  options.head_dim = 32;
  const validation::KernelTable table =
      read_kernel_table(CsvTable::parse(sources, "kernels.csv", text), options);
  // Only what a stack states: the optimizer's passes.
  REQUIRE(table.rejected.size() == 1);
  CHECK(table.rejected.begin()->second == 2);
  std::map<std::string, std::set<std::string>> shapes;
  std::set<Gemm> gemms;
  for (const validation::MeasuredKernel& kernel : table.kernels) {
    CHECK(kernel.time > 0_s);
    shapes[kernel.table].insert(kernel.shape);
    if (const auto* gemm = std::get_if<Gemm>(&kernel.kernel.shape)) {
      gemms.insert(*gemm);
    }
  }
  CHECK(shapes["memory_bound.streaming"].size() == 5);
  CHECK(shapes["memory_bound.norm"].size() == 2);
  CHECK(shapes["memory_bound.softmax"].size() == 1);
  CHECK(shapes["memory_bound.gather"].size() == 2);
  CHECK(shapes["flash.flash2.forward"].size() == 2);  // of two heads, and of one
  CHECK(shapes["flash.flash2.backward"].size() == 2);
  // The MLP's first layer on one rank and its half on two, forward and both gradients.
  for (const std::int64_t o : {4 * kHidden, 2 * kHidden}) {
    const Gemm forward{1, kTokens, o, kHidden, Dtype::fp32, GemmPass::forward, 4};
    CHECK(gemms.contains(forward));
    CHECK(gemms.contains({1, kTokens, kHidden, o, Dtype::fp32, GemmPass::forward, 4}));
    CHECK(gemms.contains({1, o, kHidden, kTokens, Dtype::fp32, GemmPass::weight_gradient, 8}));
  }
}

TEST_CASE("kernels are counted by the bytes of models/blocks", "[trainer]") {
  const std::map<std::string, std::string> names = {
      {"add", "mlp_dropout_add"},
      {"bias_gradient", "mlp_up_bias_gradient"},
      {"gelu", "activation"},
      {"gelu_gradient", "activation_gradient"},
      {"layer_norm", "mlp_norm"},
      {"layer_norm_gradient", "mlp_norm_gradient"},
      {"residual_gradient_add", "residual_gradient_add"},
      {"cross_entropy", "cross_entropy"},
      {"embedding", "token_lookup"},
      {"embedding_gradient", "token_gradient"}};
  const std::string text = written(1, [](auto& device, auto& world, auto& out) {
    benchmark_kernels(device, world, small_sweep(), out);
  });
  config::Sources sources;
  config::Diagnostics diagnostics;
  const CsvTable table = CsvTable::parse(sources, "kernels.csv", text);
  const std::map<std::string, Bytes> expected = bytes_of_blocks();
  std::size_t found = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const auto row = table.row(i, diagnostics);
    if (row.has("memory_op")) {
      INFO(row.text("op_detail"));
      CHECK(*row.number("bytes") == expected.at(names.at(row.text("op_detail"))).value);
      ++found;
    }
    if (row.text("op_detail") == "adamw") {  // parameter, two moments, and the gradient's read
      CHECK(*row.number("bytes") == 28 * 12.0 * kHidden * kHidden);
    }
  }
  CHECK(found == names.size());
}

TEST_CASE("calibration reads the collectives of ranks that are nodes", "[trainer]") {
  trainer::CollectiveSweep sweep;
  sweep.most = 64 << 10;
  sweep.seconds = 0;
  const std::string text = written(3, [&](auto& device, auto& world, auto& out) {
    benchmark_collectives(device, world, sweep, out);
  });
  config::Sources sources;
  const validation::CollectiveTable table =
      validation::parse_collectives(sources, "collectives.csv", text, {});
  // 1, 4, 16 and 64 KiB, in whole numbers of four bytes for each of three ranks.
  REQUIRE(table.rows.size() == 4 * 4);
  CHECK(table.rejected.begin()->first == "collective 'send_recv' is none of ours");
  CHECK(table.rejected.begin()->second == 4);
  for (const validation::MeasuredCollective& row : table.rows) {
    CHECK(row.gpus == 3);
    CHECK(row.nodes == 3);
    CHECK(std::fmod(row.payload.value, 12) == 0);
    CHECK(row.time > 0_s);
  }
  CHECK(table.rows.front().payload == 1020_B);
}

TEST_CASE("payloads that would take too long are left out", "[trainer]") {
  trainer::CollectiveSweep sweep;
  sweep.seconds = 0;
  sweep.longest_call = 0;
  const std::string text = written(2, [&](auto& device, auto& world, auto& out) {
    benchmark_collectives(device, world, sweep, out);
  });
  CHECK(std::count(text.begin(), text.end(), '\n') == 1 + 5);  // the smallest of each kind
}

TEST_CASE("a codec's rates are those at which the simulator takes its measured time", "[trainer]") {
  constexpr int kRanks = 2;
  const Compressor& row = compressor("block-int8");
  const WireCompression how{&row, CodecOptions(row.codec->options), false, 1};
  const trainer::BucketShape bucket = trainer::layer_bucket(kHidden);
  CHECK(bucket.count == 12 * kHidden * kHidden + 13 * kHidden);
  const std::string text = written(kRanks, [&](auto& device, auto& world, auto& out) {
    benchmark_codecs(device, world, {how}, {bucket}, out);
  });
  config::Sources sources;
  config::Diagnostics diagnostics;
  const CsvTable table = CsvTable::parse(sources, "codecs.csv", text);
  REQUIRE(table.size() == 1);
  const auto found = table.row(0, diagnostics);
  CHECK(found.text("method") == "block-int8");
  CHECK(*found.number("message_bytes") == 4.0 * static_cast<double>(bucket.count));
  const double encode = *found.number("encode_GBps");
  CHECK(encode > 0);
  CHECK(*found.number("encode_us") * encode * 1e3 ==
        Approx(*found.number("message_bytes")).epsilon(1e-3));
  CHECK(*found.number("decode_GBps") > 0);
}

TEST_CASE("one rank alone has no collectives, codecs or interference to time", "[trainer]") {
  for (const std::string& name : trainer::benchmark_names()) {
    if (name != "kernels") {
      INFO(name);
      CHECK_THROWS_AS(
          written(1, [&](auto& device, auto& world,
                         auto& out) { trainer::run_benchmark(name, device, world, 1, out); }),
          std::runtime_error);
    }
  }
}

TEST_CASE("a time is that of the slowest rank", "[trainer]") {
  // One of two ranks takes 8 ms a call, the other 2.
  constexpr double kSlow = 8e-3;
  std::vector<double> times(2);
  on_ranks(2, [&](int rank, Meeting& meeting) {
    const auto device = trainer::cpu_device();
    ThreadWorld world(rank, meeting);
    trainer::BenchmarkTimer timer(*device, world, 0.01);
    times[static_cast<std::size_t>(rank)] = timer.time(trainer::kCompute, [&](std::int64_t) {
      std::this_thread::sleep_for(std::chrono::milliseconds(rank == 0 ? 8 : 2));
    });
  });
  CHECK(times[0] == times[1]);
  CHECK(times[0] >= kSlow);
  CHECK(times[0] < 10 * kSlow);
}

TEST_CASE("interference is told with what it was found from", "[trainer]") {
  std::ostringstream text;
  run_ranks(2, [&](RankOfTest& rank) {
    std::ostringstream own;
    trainer::benchmark_interference(rank.device, rank.world, 0.02, own);
    if (rank.world.rank() == 0) {
      text << own.str();
    }
    return std::vector<float>{};
  });
  config::Sources sources;
  config::Diagnostics diagnostics;
  const CsvTable table = CsvTable::parse(sources, "interference.csv", text.str());
  REQUIRE(table.size() == 1);
  const auto row = table.row(0, diagnostics);
  const double alone = *row.number("alone_us");
  const double beside = *row.number("beside_us");
  CHECK(alone > 0);
  CHECK(*row.number("compute_share") == Approx(std::max(0.0, 1 - alone / beside)).margin(1e-3));
  CHECK(*row.number("collective_beside_us") ==
        Approx(*row.number("collective_slowdown") * *row.number("collective_alone_us"))
            .epsilon(1e-3));
}

TEST_CASE("rounds of memory do not overlap until it is used up", "[trainer]") {
  const auto device = trainer::cpu_device();
  // 1,000 and 65,536 numbers: rounds of 128 and 384 fit 129 times.
  const trainer::BenchmarkArena arena(*device, trainer::Type::fp32, 1000, 4 * 65536);
  std::set<const void*> starts;
  for (std::int64_t i = 0; i < 129; ++i) {
    const auto tensors = arena.round(i, {100, 300});
    CHECK(tensors[0].count == 100);
    CHECK(tensors[1].count == 300);
    CHECK(tensors[1].as<float>() - tensors[0].as<float>() == 128);
    starts.insert(tensors[0].data);
  }
  CHECK(starts.size() == 129);
  CHECK(arena.round(129, {100, 300})[0].data == arena.round(0, {100, 300})[0].data);
  const float first = arena.round(0, {2})[0].as<float>()[0];
  CHECK(first != arena.round(0, {2})[0].as<float>()[1]);
  CHECK(std::abs(first) < 1);
}

}  // namespace foretrain::testing
