// SPDX-License-Identifier: Apache-2.0
// Calibration: what was planted in a table is found again, what the base file states stands, and a
// table that cannot be used is told with its place.
#include "validation/calibrate/gpu.hpp"

#include <cmath>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using namespace validation;

// What a datasheet says, and what no table can.
constexpr std::string_view kBase = R"(# A test GPU.
name = "Test GPU"
source = "a test"
memory = "80 GB"
memory_rate = "2 TB/s"
sms = 100
clock = "1.5 GHz"
generation = "ampere"

[peak]
fp16 = "300 TFLOP/s"
bf16 = "300 TFLOP/s"

[gemm.bf16]
same_as = "fp16"
source = "one rate"

[flash]
floor = "5 us"

[memory_bound]
streaming = 0.8
norm = 0.62
softmax = 0.6
gather = 0.15
)";

constexpr std::string_view kPlanted = R"(name = "Planted"
source = "a test"
memory = "80 GB"
memory_rate = "2 TB/s"
sms = 100
clock = "1.5 GHz"
weight_gradient = 0.9
generation = "ampere"
grouped_floor = "7 us"

[peak]
fp16 = "300 TFLOP/s"
bf16 = "300 TFLOP/s"

[gemm.fp16]
efficiency = 0.71
bandwidth = 0.83
floor = "5.5 us"
k_fill = 60
occupancy = 0.08

[gemm.bf16]
same_as = "fp16"
source = "one rate"

[flash]
floor = "5 us"

[flash.flash2]
forward = 0.55
forward_tail = 1.3
backward = 0.45
backward_tail = 0.6

[memory_bound]
floor = "3 us"
streaming = 0.8
norm = 0.62
softmax = 0.6
rotary = 0.5
gather = 0.15

[memory_bound.elements_per_clock]
rotary = 1.4
)";

const std::string kHeader =
    "kernel,op_detail,m,n,k,batch,seq_length,heads,kv_heads,head_dim,dtype,layout,accumulate,gpu,"
    "measured_time_ms,measured_tflops,notes\n";

// Times as the planted GPU takes them; `spread` multiplies every other one, and its inverse the
// rest.
class PlantedTable {
 public:
  explicit PlantedTable(double spread = 1)
      : gpu_(gpu_from(std::string(kPlanted))), spread_(spread) {}

  std::string text() {
    gemms();
    attention();
    rotary();
    return kHeader + rows_;
  }

 private:
  double milliseconds(const Kernel& kernel) {
    const bool is_slow = (++count_ * 0x9e3779b97f4a7c15U) >> 63U == 0;  // a Weyl sequence
    const double factor = is_slow ? spread_ : 1 / spread_;
    return kernel_time(kernel, gpu_).value * 1e3 * factor;
  }

  void add(const Gemm& gemm, const char* kernel, const char* detail, const char* layout,
           const char* dtype, const char* notes) {
    // A grouped weight gradient is named as its forward is.
    const bool is_named_forward = gemm.is_grouped && gemm.pass == GemmPass::weight_gradient;
    rows_ += fmt::format("{},{},{},{},{},{},,,,,{},{},{},Card,{:.17g},,{}\n", kernel, detail,
                         is_named_forward ? gemm.k : gemm.m, is_named_forward ? gemm.m : gemm.n,
                         is_named_forward ? gemm.n : gemm.k, gemm.batch, dtype, layout,
                         gemm.pass == GemmPass::weight_gradient, milliseconds({{}, gemm}), notes);
  }

  void gemms() {
    for (const std::int64_t m : {16, 256, 1024, 4096}) {
      for (const std::int64_t n : {1024, 4096, 16384}) {
        for (const std::int64_t k : {128, 512, 1024, 2048, 8192}) {
          Gemm gemm{1, m, n, k, Dtype::fp16, GemmPass::forward, 2};
          add(gemm, "gemm", "forward", "TN", "fp16", "");
          gemm.pass = GemmPass::weight_gradient;
          gemm.output_bytes = 8;
          add(gemm, "gemm", "wgrad", "NT", "\"fp16 in, fp32 out\"", "");
          Gemm group{16, m, n, k, Dtype::fp16, GemmPass::forward, 2, true};
          add(group, "grouped gemm", "fwd", "", "fp16", "");
          group.pass = GemmPass::weight_gradient;
          group.output_bytes = 8;
          add(group, "grouped gemm", "bwd_grad_w", "", "fp16", "main_grad_dtype=fp32");
        }
      }
    }
  }

  void attention() {
    for (const bool is_backward : {false, true}) {
      for (const std::int64_t heads : {2, 4, 8, 16, 64}) {
        for (const std::int64_t length : {2048, 8192}) {
          FlashAttention flash;
          flash.heads = heads;
          flash.query_length = flash.key_length = length;
          flash.is_backward = is_backward;
          flash.dtype = Dtype::fp16;
          rows_ +=
              fmt::format("attention {},,,,,1,{},{},,128,fp16,,,Card,{:.17g},,\n",
                          is_backward ? "bwd" : "fwd", length, heads, milliseconds({{}, flash}));
        }
      }
    }
  }

  void rotary() {
    for (const std::int64_t m : {16, 128, 1000, 1024, 4096, 10000}) {
      for (const std::int64_t n : {1024, 4096, 8192}) {
        const MemoryBound rotary{MemoryOp::rotary, Bytes(4.0 * static_cast<double>(m * n) * 1.25),
                                 m, 1.25 * static_cast<double>(n)};
        rows_ += fmt::format("memory-bound,attn_rope (x),{},{},,,,8,2,,fp16,,,Card,{:.17g},,\n", m,
                             n, milliseconds({{}, rotary}));
      }
    }
  }

  Gpu gpu_;
  double spread_;
  std::uint64_t count_ = 0;
  std::string rows_;
};

GpuCalibration calibrated(const std::string& table, const std::string& base,
                          const CalibrateOptions& options = {}) {
  config::Sources sources;
  const config::Value root = config::parse_toml(sources, "base.toml", base);
  const CsvTable csv = CsvTable::parse(sources, "table.csv", table);
  return calibrate_gpu(read_kernel_table(csv, options.table), root, options);
}

TEST_CASE("a calibration finds what was planted in a table", "[calibrate]") {
  const GpuCalibration found = calibrated(PlantedTable().text(), std::string(kBase));
  const GemmFit& fit = found.gpu.gemm.at(Dtype::fp16);
  // The file holds three digits.
  CHECK_THAT(fit.efficiency.value, WithinAbs(0.71, 5e-4));
  CHECK_THAT(fit.bandwidth.value, WithinAbs(0.83, 5e-4));
  CHECK_THAT(fit.floor.value.value * 1e6, WithinAbs(5.5, 5e-3));
  CHECK_THAT(fit.k_fill, WithinAbs(60, 0.5));
  CHECK_THAT(fit.occupancy, WithinAbs(0.08, 5e-4));
  CHECK_THAT(found.gpu.weight_gradient.value, WithinAbs(0.9, 5e-4));
  CHECK_THAT(found.gpu.grouped_floor.value.value * 1e6, WithinAbs(7, 5e-3));
  CHECK_THAT(found.gpu.flash_forward.at(FlashVersion::flash2).efficiency.value,
             WithinAbs(0.55, 5e-4));
  CHECK_THAT(found.gpu.flash_forward.at(FlashVersion::flash2).tail, WithinAbs(1.3, 5e-3));
  CHECK_THAT(found.gpu.flash_backward.at(FlashVersion::flash2).efficiency.value,
             WithinAbs(0.45, 5e-4));
  CHECK_THAT(found.gpu.memory_floor.value.value * 1e6, WithinAbs(3, 5e-3));
  CHECK_THAT(found.gpu.element_rate.at(MemoryOp::rotary).value, WithinAbs(1.4, 5e-3));
  for (const ErrorLine& line : found.errors) {
    INFO(line.table << ", " << line.size);
    if (line.table != "memory_bound, share") {  // the one-limit form cannot tell rows
      CHECK(line.fitted.mean < 1e-3);
      CHECK(line.held.mean < 1e-3);
    }
  }
}

TEST_CASE("with spread the intervals hold what was planted, and errors show the spread",
          "[calibrate]") {
  const GpuCalibration found = calibrated(PlantedTable(1.05).text(), std::string(kBase));
  for (const FittedNumber& number : found.numbers) {
    if (number.key == "gemm.fp16.efficiency") {
      CHECK(std::abs(number.estimate.value - 0.71) < number.estimate.half_width);
      CHECK(number.estimate.half_width < 0.05);
    }
  }
  for (const ErrorLine& line : found.errors) {
    if (line.table == "gemm.fp16" && line.size == "all") {
      CHECK_THAT(line.held.mean, WithinAbs(0.05, 0.01));
    }
  }
}

TEST_CASE("one wild row in a hundred does not move the fit", "[calibrate]") {
  const std::string wild =
      "gemm,forward,2048,2048,2048,1,,,,,fp16,TN,,Card,5000,,\n";  // five seconds
  const GpuCalibration found = calibrated(PlantedTable().text() + wild, std::string(kBase));
  CHECK_THAT(found.gpu.gemm.at(Dtype::fp16).efficiency.value, WithinAbs(0.71, 5e-3));
}

TEST_CASE("what the base file states stands, and the fit goes around it", "[calibrate]") {
  const std::string base = spoilt(kBase, "[gemm.bf16]",
                                  "[gemm.fp16]\nfloor = \"5.5 us\"\nk_fill = 60\noccupancy = 0.08\n"
                                  "\n[gemm.bf16]");
  const GpuCalibration found = calibrated(PlantedTable().text(), base);
  const GemmFit& fit = found.gpu.gemm.at(Dtype::fp16);
  CHECK(fit.floor.basis == config::Basis::datasheet);
  CHECK(fit.efficiency.basis == config::Basis::fitted);
  CHECK_THAT(fit.efficiency.value, WithinAbs(0.71, 5e-4));
  CHECK_THAT(found.gpu.memory_share.at(MemoryOp::norm).value, WithinAbs(0.62, 1e-12));
}

TEST_CASE("a calibrated file is its own base: again gives the same, byte for byte", "[calibrate]") {
  const std::string table = PlantedTable(1.03).text();
  const GpuCalibration first = calibrated(table, std::string(kBase));
  CHECK(first.toml.starts_with("# A test GPU.\n"));
  const GpuCalibration second = calibrated(table, first.toml);
  CHECK(second.toml == first.toml);
  CHECK(gpu_from(first.toml).name == "Test GPU");
}

TEST_CASE("rows of another board with the same chip are transferred", "[calibrate]") {
  CalibrateOptions options;
  options.table.gpu_name = "None";
  options.table.same_chip = {"Card"};
  const GpuCalibration found = calibrated(PlantedTable().text(), std::string(kBase), options);
  CHECK(found.gpu.gemm.at(Dtype::fp16).efficiency.basis == config::Basis::transferred);
}

TEST_CASE("a calibration says what it misses in the base file", "[calibrate]") {
  const std::string base = spoilt(kBase, "sms = 100\n", "");
  CHECK(error_of([&] { return calibrated(PlantedTable().text(), base); }) ==
        "base.toml: missing key 'sms' (a whole number from 1 to 10000)");
}

TEST_CASE("rows that cannot be used are counted with the reason", "[calibrate]") {
  config::Sources sources;
  const CsvTable csv = CsvTable::parse(
      sources, "table.csv",
      kHeader + "gemm,max achievable (best shape of a sweep),8,8,8,,,,,,fp16,,,Card,1,,\n" +
          "gemm,,8,8,8,,,,,,fp16,,,Card,,,\ngemm,,8,8,,,,,,,fp16,,,Card,1,,\n" +
          "gemm,,8,8,8,,,,,,int3,,,Card,1,,\ngemm,,8,8,9,,,,,,fp16,,,Card,1,,\n" +
          "conv,,8,8,8,,,,,,fp16,,,Card,1,,\nattention fwd,,,,,1,64,4,,64,fp16,,,Card,1,,\n" +
          "gemm,,8,8,8,,,,,,fp16,,,Card,1,,\ngemm,,8,8,8,,,,,,fp16,,,Other,1,,\n");
  KernelTableOptions options;
  options.gpu_name = "Card";
  const KernelTable table = read_kernel_table(csv, options);
  CHECK(table.kernels.size() == 1);
  CHECK(table.rejected ==
        std::map<std::string, int>{{"best of a search over shapes", 1},
                                   {"no time", 1},
                                   {"no shape", 1},
                                   {"data type is none of ours", 1},
                                   {"n or k is no multiple of 8", 1},
                                   {"kernel 'conv' is none of ours", 1},
                                   {"attention with a head dimension other than 128", 1}});
}

TEST_CASE("a kernel table is told what it lacks, and where a cell is wrong", "[calibrate]") {
  const auto mistakes = [](const std::string& text, const std::string& gpu) {
    return error_of([&] {
      config::Sources sources;
      const CsvTable csv = CsvTable::parse(sources, "t.csv", text);
      KernelTableOptions options;
      options.gpu_name = gpu;
      return read_kernel_table(csv, options);
    });
  };
  CHECK(
      mistakes("m,n,kk,time_ms\n8,8,8,1\n", "") ==
      "t.csv:1:1: there is no column 'k'; is 'kk' what it is called here?\n  m,n,kk,time_ms\n  ^");
  CHECK(mistakes("m,n,k,seconds\n8,8,8,1\n", "") ==
        "t.csv:1:1: there is no column 'measured_time_ms'\n  m,n,k,seconds\n  ^");
  CHECK(mistakes("m,n,k,time_ms\n8,8,8,1\n8,eight,8,1\n", "") ==
        "t.csv:3:3: n: expected a whole number from 1 to 1000000000000, got 'eight'\n"
        "  8,eight,8,1\n    ^");
  CHECK(mistakes("m,n,k,time_ms,gpu\n8,8,8,1,A\n8,8,8,1,B\n", "C") ==
        "t.csv:1:1: no row of the table is of GPU 'C'; it has A, B\n  m,n,k,time_ms,gpu\n  ^");
}

TEST_CASE("DeepBench's table is read: microseconds, matrices by columns", "[calibrate]") {
  config::Sources sources;
  const CsvTable csv =
      CsvTable::parse(sources, "t.csv", "m,n,k,a_t,b_t,time\n1024,16,512,0,0,12.5\n");
  const KernelTable table = read_kernel_table(csv, {});
  REQUIRE(table.kernels.size() == 1);
  const auto& gemm = std::get<Gemm>(table.kernels[0].kernel.shape);
  CHECK(gemm.m == 16);
  CHECK(gemm.n == 1024);
  CHECK(gemm.dtype == Dtype::fp16);
  CHECK_THAT(table.kernels[0].time.value, WithinRel(12.5e-6, 1e-12));
}

TEST_CASE("rates of attention count the full square of a causal kernel", "[calibrate]") {
  config::Sources sources;
  const CsvTable csv = CsvTable::parse(
      sources, "t.csv", kHeader + "attention fwd,,,,,1,4096,32,,128,fp16,,,Card,,100,\n");
  // 2 * 32 * 4096^2 * 256 = 274.9e9 at 100 TFLOP/s.
  CHECK_THAT(read_kernel_table(csv, {}).kernels.at(0).time.value, WithinRel(2.74878e-3, 1e-5));
}

TEST_CASE("attention of another width of heads is read when asked for", "[calibrate]") {
  config::Sources sources;
  const CsvTable csv = CsvTable::parse(
      sources, "t.csv", kHeader + "attention fwd,,,,,1,4096,32,,64,fp16,,,Card,1,,\n");
  CHECK(read_kernel_table(csv, {}).kernels.empty());
  KernelTableOptions options;
  options.head_dim = 64;
  const KernelTable table = read_kernel_table(csv, options);
  CHECK(std::get<FlashAttention>(table.kernels.at(0).kernel.shape).qk_head_dim == 64);
}

TEST_CASE("a memory-bound kernel may state its class, its bytes and its rows", "[calibrate]") {
  config::Sources sources;
  const CsvTable csv = CsvTable::parse(
      sources, "t.csv",
      "kernel,op_detail,m,n,k,dtype,memory_op,bytes,rows,time_us\n"
      "memory-bound,a norm,32,64,,bf16,norm,16384,32,3\nmemory-bound,x,,,,bf16,softmax,100,,3\n"
      "memory-bound,x,,,,bf16,shuffle,100,,3\nmemory-bound,x,,,,bf16,norm,,,3\n");
  const KernelTable table = read_kernel_table(csv, {});
  REQUIRE(table.kernels.size() == 2);
  CHECK(table.kernels[0].table == "memory_bound.norm");
  // 16,384 bytes are 8,192 numbers of two, each read or written: 4,096 elements in 32 rows.
  CHECK(std::get<MemoryBound>(table.kernels[0].kernel.shape) ==
        MemoryBound{MemoryOp::norm, 16384_B, 32, 128});
  CHECK(std::get<MemoryBound>(table.kernels[1].kernel.shape) ==
        MemoryBound{MemoryOp::softmax, 100_B, 0, 0});
  CHECK(table.rejected.at("memory-bound op without a class of a GPU file or without bytes") == 2);
}

TEST_CASE("a product written in fp32 writes four bytes", "[calibrate]") {
  config::Sources sources;
  const CsvTable csv = CsvTable::parse(sources, "t.csv",
                                       "m,n,k,dtype,layout,accumulate,time_us\n"
                                       "8,8,8,\"fp32 in, fp32 out\",TN,,1\n"
                                       "8,8,8,\"fp32 in, fp32 out\",NT,yes,1\n8,8,8,bf16,TN,,1\n");
  const KernelTable table = read_kernel_table(csv, {});
  REQUIRE(table.kernels.size() == 3);
  const auto written = [&](std::size_t row) {
    return std::get<Gemm>(table.kernels[row].kernel.shape).output_bytes;
  };
  CHECK(written(0) == 4);
  CHECK(written(1) == 8);  // read as well
  CHECK(written(2) == 2);
}

TEST_CASE("errors are told by median, mean and ninetieth percentile", "[calibrate]") {
  const Errors errors = errors_of({0.3, 0.1, 0.2, 0.9, 0.5});
  CHECK(errors.rows == 5);
  CHECK(errors.median == 0.3);
  CHECK_THAT(errors.mean, WithinRel(0.4, 1e-12));
  CHECK(errors.ninetieth == 0.9);
  CHECK(errors_of({}).rows == 0);
}

}  // namespace
}  // namespace foretrain::testing
