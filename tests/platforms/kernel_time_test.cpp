// SPDX-License-Identifier: Apache-2.0
// Kernel times against worked numbers, and laws that hold for every GPU file.
#include <string>
#include <vector>

#include "platforms/gpu.hpp"
#include "platforms/names.hpp"
#include "sim/config/catalogue.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

// Legend: F = FLOPs, Q = bytes touched once, Tc = compute limit, Tm = memory limit, us.

// A100-80 SXM with the three-number form (no k_fill, no occupancy), fitted to microsoft/vidur rows,
// and flash attention as fitted to MooreThreads/SimuMax rows of the A100 PCIe.
Gpu a100_base() {
  Gpu gpu;
  gpu.memory_rate.value = 2039_GBps;
  gpu.sms = 108;
  gpu.peak[Dtype::fp16].value = 312_TFLOPs;
  gpu.gemm[Dtype::fp16] = {{0.732, "", {}}, {0.791, "", {}}, {5.2_us, "", {}}, 0, 0};
  gpu.weight_gradient.value = 0.95;
  gpu.grouped_floor.value = 3.4_us;
  gpu.sustained.value = 1;
  gpu.flash_floor.value = 5_us;
  gpu.flash_forward[FlashVersion::flash2] = {{0.579, "", {}}, 1.21};
  gpu.flash_backward[FlashVersion::flash2] = {{0.473, "", {}}, 0.65};
  gpu.memory_floor.value = 2_us;
  gpu.memory_share[MemoryOp::streaming].value = 0.85;
  return gpu;
}

Gemm gemm(std::int64_t m, std::int64_t n, std::int64_t k) {
  Gemm shape;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  shape.dtype = Dtype::fp16;
  return shape;
}

double us(const Kernel& kernel, const Gpu& gpu) { return kernel_time(kernel, gpu).value * 1e6; }
double us(const Gemm& shape, const Gpu& gpu) { return us(Kernel{{}, shape}, gpu); }

std::vector<Gpu> all_gpus() {
  std::vector<Gpu> gpus;
  for (const std::string& name : config::names_in(kPlatforms + "/gpus")) {
    config::Sources sources;
    gpus.push_back(load_gpu(sources, name, kPlatforms));
  }
  return gpus;
}

TEST_CASE("a GEMM takes its floor plus the quadrature sum of its two limits", "[platforms]") {
  const Gpu gpu = a100_base();
  // F = 2 m n k = 412.3e9, Tc = F / (0.732 * 312e12) = 1805.4; Q = 2 (mk + kn + mn) = 234.9e6,
  // Tm = Q / (0.791 * 2039e9) = 145.6; t = 5.2 + hypot(Tc, Tm) = 1816.4 (measured 1911).
  CHECK_THAT(us(gemm(4096, 12288, 4096), gpu), WithinAbs(1816.4, 0.05));
  // F = 549.8e9, Tc = 2407.2; Q = 268.4e6, Tm = 166.4; t = 2418.1.
  CHECK_THAT(us(gemm(4096, 8192, 8192), gpu), WithinAbs(2418.1, 0.05));
  // F = 2.147e9, Tc = 9.4; Q = 134.7e6, Tm = 83.5; t = 89.3 (measured 93 to 95).
  CHECK_THAT(us(gemm(16, 8192, 8192), gpu), WithinAbs(89.3, 0.05));
}

TEST_CASE("flash attention takes its floor plus work and one-tile tail in quadrature",
          "[platforms]") {
  FlashAttention flash;
  flash.heads = 32;
  flash.query_length = flash.key_length = 4096;
  flash.dtype = Dtype::fp16;
  // Causal, d 128/128: F = 2 * 32 * 4096^2 * 256 / 2 = 137.4e9, Tf = F / (0.579 * 312e12) = 760.8;
  // Tx = 1.21 * 2 * 128 * 4096 * 256 / (0.579 * 312e12 / 108) = 194.2; t = 5 + hypot = 790.2
  // (measured 778 to 788).
  CHECK_THAT(us(Kernel{{}, flash}, a100_base()), WithinAbs(790.2, 0.05));
  // Backward does 2.5 times the work: Tf = 2.5 * 137.4e9 / (0.473 * 312e12) = 2328.3 and
  // Tx = 0.65 * 2.5 * 2 * 128 * 4096 * 256 * 108 / (0.473 * 312e12) = 319.2; t = 5 + 2350.1.
  flash.is_backward = true;
  CHECK_THAT(us(Kernel{{}, flash}, a100_base()), WithinAbs(2355.1, 0.1));
}

TEST_CASE("a memory-bound kernel takes its floor plus bytes over the achieved rate",
          "[platforms]") {
  // 1.73315 GB at 0.85 * 2039 GB/s = 1733.15 GB/s is 1 ms.
  const Kernel kernel{{}, MemoryBound{MemoryOp::streaming, Bytes(1.73315e9)}};
  CHECK_THAT(us(kernel, a100_base()), WithinRel(1002.0, 1e-9));
}

TEST_CASE("pipeline fill and the last wave multiply the compute limit", "[platforms]") {
  Gpu gpu = a100_base();
  gpu.sms = 100;
  gpu.memory_rate.value = BytesPerSecond(1e30);  // no memory limit
  const double plain = us(gemm(1280, 1280, 512), gpu) - 5.2;
  gpu.gemm[Dtype::fp16].k_fill = 512;     // 1 + 512 / 512 = 2
  gpu.gemm[Dtype::fp16].occupancy = 0.5;  // 100 tiles of 128 x 128 on 100 SMs: 1 + 0.5 = 1.5
  CHECK_THAT(us(gemm(1280, 1280, 512), gpu) - 5.2, WithinRel(3.0 * plain, 1e-9));
}

TEST_CASE("a batch is one launch of as many products", "[platforms]") {
  // Floor once, F and Q eightfold; without a last-wave term that is eight times the rest.
  const Gpu gpu = a100_base();
  Gemm one = gemm(2048, 2048, 128);
  const double rest = us(one, gpu) - 5.2;
  one.batch = 8;
  CHECK_THAT(us(one, gpu), WithinRel(5.2 + 8.0 * rest, 1e-9));
}

TEST_CASE("a grouped GEMM pays a floor for each of its products", "[platforms]") {
  const Gpu gpu = a100_base();
  Gemm shape = gemm(2048, 2048, 128);
  shape.batch = 8;
  const double batched = us(shape, gpu) - 5.2;
  shape.is_grouped = true;
  CHECK_THAT(us(shape, gpu), WithinRel(8 * 3.4 + batched, 1e-9));
}

TEST_CASE("a batched GEMM asks for a head dimension of 64s, or at least of 8s", "[platforms]") {
  Gpu gpu = a100_base();
  gpu.memory_rate.value = BytesPerSecond(1e30);  // time beyond the floor is proportional to k
  const auto per_k = [&](std::int64_t batch, std::int64_t k, bool is_grouped) {
    Gemm shape = gemm(2048, 2048, k);
    shape.batch = batch;
    shape.is_grouped = is_grouped;
    const double floor = is_grouped ? 3.4 * static_cast<double>(batch) : 5.2;
    return (us(shape, gpu) - floor) / static_cast<double>(batch * k);
  };
  const double aligned = per_k(1, 128, false);
  CHECK_THAT(per_k(4, 64, false), WithinRel(aligned, 1e-9));
  CHECK_THAT(per_k(4, 80, false), WithinRel(1.15 * aligned, 1e-9));
  CHECK_THAT(per_k(4, 108, false), WithinRel(12 * aligned, 1e-9));
  CHECK_THAT(per_k(1, 80, false), WithinRel(aligned, 1e-9));
  CHECK_THAT(per_k(1, 108, false), WithinRel(1.05 * aligned, 1e-9));
  CHECK_THAT(per_k(4, 108, true), WithinRel(1.05 * aligned, 1e-9));
}

TEST_CASE("rows that instructions bound take the larger of two limits", "[platforms]") {
  Gpu gpu = a100_base();
  gpu.clock.value = Hertz(1.41e9);
  gpu.memory_share[MemoryOp::streaming].value = 0.97;
  gpu.memory_share[MemoryOp::norm].value = 0.5;
  gpu.element_rate[MemoryOp::norm].value = 1.17;
  // RMSNorm of 4096 x 8192 in 16 bit: bytes 134.2e6 / (0.97 * 2039e9) = 67.9; 38 rows on the
  // fullest of 108 SMs, 38 * 8192 / (1.17 * 1.41e9) = 188.7; t = 2 + 188.7 (measured 191.5 to 198).
  MemoryBound norm{MemoryOp::norm, Bytes(4.0 * 4096 * 8192), 4096, 8192};
  CHECK_THAT(us(Kernel{{}, norm}, gpu), WithinAbs(190.7, 0.05));
  // At a high instruction rate the stream is left, and without rows the share.
  gpu.element_rate[MemoryOp::norm].value = 100;
  CHECK_THAT(us(Kernel{{}, norm}, gpu), WithinAbs(69.9, 0.05));
  norm.rows = 0;
  CHECK_THAT(us(Kernel{{}, norm}, gpu), WithinAbs(2 + 4.0 * 4096 * 8192 / (0.5 * 2039e3), 0.05));
}

TEST_CASE("a weight gradient runs at its share of the forward rate", "[platforms]") {
  Gpu gpu = a100_base();
  gpu.memory_rate.value = BytesPerSecond(1e30);
  Gemm shape = gemm(4096, 4096, 4096);
  const double forward = us(shape, gpu) - 5.2;
  shape.pass = GemmPass::input_gradient;
  CHECK_THAT(us(shape, gpu) - 5.2, WithinRel(forward, 1e-9));
  shape.pass = GemmPass::weight_gradient;
  CHECK_THAT(us(shape, gpu) - 5.2, WithinRel(forward / 0.95, 1e-9));
}

TEST_CASE("a sustained clock slows compute and leaves memory alone", "[platforms]") {
  Gpu gpu = a100_base();
  const Kernel stream{{}, MemoryBound{MemoryOp::streaming, 1_GB}};
  const double before = us(stream, gpu);
  gpu.memory_rate.value = BytesPerSecond(1e30);
  const double full = us(gemm(4096, 4096, 4096), gpu) - 5.2;
  gpu.sustained.value = 0.8;
  CHECK_THAT(us(gemm(4096, 4096, 4096), gpu) - 5.2, WithinRel(full / 0.8, 1e-9));
  gpu.memory_rate.value = 2039_GBps;
  CHECK(us(stream, gpu) == before);
}

TEST_CASE("output bytes count once per output element", "[platforms]") {
  Gpu gpu = a100_base();
  gpu.peak[Dtype::fp16].value = FlopsPerSecond(1e30);  // no compute limit
  Gemm shape = gemm(1024, 1024, 1024);
  const double written = us(shape, gpu);
  shape.output_bytes = 8;  // accumulated in fp32: 6 B more for each of 2^20 outputs
  CHECK_THAT(us(shape, gpu) - written, WithinRel(6.0 * 1048576 / (0.791 * 2039e9) * 1e6, 1e-9));
}

TEST_CASE("misaligned rows cost a step: 1 for eights, 1.05 for fours, 1.45 for the rest",
          "[platforms]") {
  const Gpu gpu = a100_base();
  // At huge m and k the time beyond the floor is proportional to n but for the alignment.
  const auto per_column = [&](std::int64_t n) {
    return (us(gemm(65536, n, 65536), gpu) - 5.2) / static_cast<double>(n);
  };
  const double aligned = per_column(10920);
  CHECK_THAT(per_column(10924) / aligned, WithinRel(1.05, 1e-4));
  CHECK_THAT(per_column(10922) / aligned, WithinRel(1.45, 1e-4));
  CHECK_THAT(per_column(10921) / aligned, WithinRel(1.45, 1e-4));
  // m is contiguous in a weight gradient only, k in the other passes only.
  Gemm shape = gemm(1026, 1024, 1024);
  const double forward = us(shape, gpu);
  shape.m = 1024;
  CHECK(forward < 1.1 * us(shape, gpu));
  shape.m = 1026;
  shape.pass = GemmPass::weight_gradient;
  CHECK(us(shape, gpu) - 5.2 > 1.45 * (forward - 5.2));
}

TEST_CASE("no kernel is faster than the datasheet, on any GPU and data type", "[platforms]") {
  for (const Gpu& gpu : all_gpus()) {
    for (const auto& [dtype, peak] : gpu.peak) {
      INFO(gpu.name << " " << name_in(kDtypeNames, dtype));
      for (const std::int64_t size : {8, 64, 256, 1024, 8192, 65536}) {
        Gemm shape = gemm(size, 4096, 2 * size);
        shape.dtype = dtype;
        const Kernel kernel{{}, shape};
        const Seconds time = kernel_time(kernel, gpu);
        const double m = static_cast<double>(size);
        const Bytes traffic =
            size_of(dtype) * (m * 2 * m + 4096.0 * 2 * m) + Bytes(2) * (4096.0 * m);
        CHECK(time > flops(kernel) / peak.value);
        CHECK(time > traffic / gpu.memory_rate.value);
      }
    }
    for (const auto& [op, share] : gpu.memory_share) {
      const Kernel kernel{{}, MemoryBound{op, 1_GB}};
      CHECK(kernel_time(kernel, gpu) > 1_GB / gpu.memory_rate.value);
    }
  }
}

TEST_CASE("flash attention never beats the peak, on any GPU and version", "[platforms]") {
  for (const Gpu& gpu : all_gpus()) {
    for (const auto& [version, fit] : gpu.flash_forward) {
      for (const bool is_backward : {false, true}) {
        FlashAttention flash;
        flash.heads = 16;
        flash.query_length = flash.key_length = 8192;
        flash.version = version;
        flash.is_backward = is_backward;
        const Kernel kernel{{}, flash};
        CHECK(kernel_time(kernel, gpu) > flops(kernel) / gpu.peak.at(Dtype::bf16).value);
      }
    }
  }
}

TEST_CASE("more work takes longer, on any GPU and data type", "[platforms]") {
  for (const Gpu& gpu : all_gpus()) {
    for (const auto& [dtype, fit] : gpu.gemm) {
      for (const std::int64_t size : {8, 128, 1000, 4096}) {
        INFO(gpu.name << " " << name_in(kDtypeNames, dtype) << " " << size);
        Gemm small = gemm(size, size, size);
        small.dtype = dtype;
        // Steps of 8 keep the alignment.
        for (std::int64_t Gemm::*dimension : {&Gemm::m, &Gemm::n, &Gemm::k, &Gemm::batch}) {
          Gemm large = small;
          large.*dimension += 8;
          CHECK(us(large, gpu) > us(small, gpu));
        }
      }
    }
    for (const auto& [op, share] : gpu.memory_share) {
      CHECK(us(Kernel{{}, MemoryBound{op, 2_MB}}, gpu) >
            us(Kernel{{}, MemoryBound{op, 1_MB}}, gpu));
    }
  }
}

TEST_CASE("a kernel that the GPU does not support is our bug", "[platforms]") {
  const Gpu gpu = a100_base();
  Gemm shape = gemm(8, 8, 8);
  shape.dtype = Dtype::fp8;
  CHECK_FALSE(supports(gpu, Dtype::fp8));
  CHECK_THROWS_AS(us(shape, gpu), InternalError);
  FlashAttention flash;
  flash.version = FlashVersion::flash3;
  CHECK_FALSE(supports(gpu, FlashVersion::flash3));
  CHECK_THROWS_AS(us(Kernel{{}, flash}, gpu), InternalError);
}

}  // namespace
}  // namespace foretrain::testing
