// SPDX-License-Identifier: Apache-2.0
// Tables of the trainer's benchmarks as the numbers that a prediction needs.
#include "validation/live/benchmarks.hpp"

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::live {
namespace {

validation::CsvTable table(const std::string& text) {
  static config::Sources sources;
  return validation::CsvTable::parse(sources, "benchmark.csv", text);
}

TEST_CASE("a codec's rate is that of all its rows' bytes together", "[live]") {
  const auto rates =
      read_codec_rates(table("method,message_bytes,encode_us,decode_us\n"
                             "top-k,1000000,4000,100\n"
                             "block-int8,1000000,1000,500\n"
                             "block-int8,3000000,1000,1500\n"));
  REQUIRE(rates.size() == 2);
  CHECK(rates[0].method == "block-int8");
  CHECK(rates[0].encode.value == Catch::Approx(4e6 / 2e-3));
  CHECK(rates[0].decode.value == Catch::Approx(4e6 / 2e-3));
  CHECK(rates[1].encode.value == Catch::Approx(1e6 / 4e-3));
}

TEST_CASE("a codec's row without a time is told where it stands", "[live]") {
  CHECK_THROWS_WITH(read_codec_rates(table("method,message_bytes,encode_us,decode_us\n"
                                           "cast,1000000,0,100\n")),
                    Catch::Contains("benchmark.csv:2:14: encode_us: expected a number above zero"));
}

TEST_CASE("each class of memory-bound kernels has the rate of all its rows together", "[live]") {
  // Streaming moves 12 + 36 MB in 4 ms, norms 8 MB in 2 ms; an optimizer's passes over a million
  // parameters take 3 ms, in which streaming would move 36 MB.
  const MemoryRates rates =
      read_memory_rates(table("kernel,op_detail,m,n,k,memory_op,bytes,time_us\n"
                              "gemm,linear,64,64,64,,,10\n"
                              "memory-bound,add,1000,1000,,streaming,12e6,1000\n"
                              "memory-bound,gelu,1000,4000,,streaming,36e6,3000\n"
                              "memory-bound,layer_norm,1000,1000,,norm,8e6,2000\n"
                              "memory-bound,adamw,1000,1000,,,28e6,2500\n"
                              "memory-bound,sum_of_squares,1000,1000,,,4e6,500\n"));
  CHECK(rates.stream.value == Catch::Approx(12e9));
  CHECK(rates.streaming == Catch::Approx(1));
  CHECK(rates.norm == Catch::Approx(1.0 / 3));
  CHECK(rates.softmax == Catch::Approx(1));  // not measured: as streaming
  CHECK(rates.optimizer_bytes == Catch::Approx(36));
}

TEST_CASE("a kernel table without a stream or a GEMM says what is missing", "[live]") {
  const std::string head = "kernel,op_detail,m,n,k,memory_op,bytes,time_us\n";
  CHECK_THROWS_WITH(read_memory_rates(table(head + "gemm,,64,64,64,,,10\n")),
                    Catch::Contains("is a kernel that streams: memory_op streaming"));
  CHECK_THROWS_WITH(best_gemm_rate(table(head + "memory-bound,add,10,10,,streaming,10,5\n")),
                    Catch::Contains("is a GEMM"));
}

TEST_CASE("the best GEMM is the one with most FLOPs in its time", "[live]") {
  const std::string rows =
      "kernel,m,n,k,batch,time_us\n"
      "gemm,100,100,100,,40\n"   // 2 MFLOP in 40 us
      "gemm,100,100,100,4,80\n"  // 8 MFLOP in 80 us
      "memory-bound,1,1,1,,0.0001\n";
  CHECK(best_gemm_rate(table(rows)).value == Catch::Approx(100e9));
}

TEST_CASE("computing that takes 5/4 of its time beside a message loses a fifth", "[live]") {
  CHECK(read_compute_share(table("alone_us,beside_us\n400,500\n800,1000\n")) == Catch::Approx(0.2));
  CHECK(read_compute_share(table("alone_us,beside_us\n500,400\n")) == 0);  // noise, not a gain
}

TEST_CASE("the latency of a message is the median of small ones", "[live]") {
  const std::string head = "collective,message_bytes,num_gpus,num_nodes,measured_time_us\n";
  const Seconds latency = read_message_latency(table(head + "send_recv,4,2,2,50\n"
                                                            "send_recv,64,2,2,60\n"
                                                            "send_recv,4096,2,2,90\n"
                                                            "send_recv,1048576,2,2,9000\n"
                                                            "all_reduce,4,2,2,200\n"));
  CHECK(latency.value == Catch::Approx(60e-6));
  CHECK_THROWS_WITH(read_message_latency(table(head + "all_reduce,4,2,2,200\n")),
                    Catch::Contains("send_recv"));
}

}  // namespace
}  // namespace foretrain::live
