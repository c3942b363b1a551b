// Output of nccl-tests and tables of collectives, good and bad, and rows that contradict others.
// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/collective_table.hpp"

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"
#include "validation/calibrate/nccl_tests.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

using validation::CollectiveTable;
using validation::CollectiveTableOptions;
using validation::MeasuredCollective;

CollectiveTable parsed(const std::string& text, const CollectiveTableOptions& options = {}) {
  config::Sources sources;
  return validation::parse_collectives(sources, "file", text, options);
}

std::string mistake(const std::string& text, const CollectiveTableOptions& options = {}) {
  try {
    (void)parsed(text, options);
  } catch (const ConfigError& error) {
    return error.diagnostics().front().text();
  }
  return "";
}

constexpr const char* kText = R"(# Collective test starting: all_reduce_perf
# nThread 1 nGpus 2 minBytes 8 maxBytes 134217728 step: 2(factor) warmup iters: 5 iters: 20
#
# Using devices
#  Rank  0 Group  0 Pid  10 on     node-a device  0 [0x07] NVIDIA H100
#  Rank  1 Group  0 Pid  10 on     node-a device  1 [0x0a] NVIDIA H100
#  Rank  2 Group  0 Pid  11 on     node-b device  0 [0x07] NVIDIA H100
#  Rank  3 Group  0 Pid  11 on     node-b device  1 [0x0a] NVIDIA H100
#
#                                                  out-of-place              in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
node-a:10:10 [0] NCCL INFO something from NCCL
     1048576        262144     float     sum      -1    52.40   20.01   30.02      0    52.00   20.16   30.25      0
     2097152        524288     float     sum      -1    1.2e2   20.97   31.46    N/A    99.00   21.18   31.78    N/A
     4194304       1048576     float     sum      -1    180.0   23.30   34.95      7    170.0   24.67   37.01      0
           0             0     float     sum      -1     0.00    0.00    0.00      0     0.00    0.00    0.00      0
# Out of bounds values : 0 OK
# Avg bus bandwidth    : 32.1
)";

constexpr const char* kJson =
    R"({"version": 1, "args": ["/opt/nccl-tests/build/alltoall_perf", "-b", "1M"],
 "env": ["A=B"], "nccl_version": 22800,
 "devices": [{"rank": 0, "hostname": "a", "device": 0}, {"rank": 1, "hostname": "a", "device": 1}],
 "results": [
  {"size": 1048576, "count": 1, "type": "float", "redop": "none", "root": "    -1",
   "out_of_place": {"time": 40.5, "alg_bw": 25.9, "bus_bw": 12.9, "nwrong": 0.0},
   "in_place": {"time": 39.0, "alg_bw": 26.9, "bus_bw": 13.4, "nwrong": null}},
  {"size": 2097152, "out_of_place": null,
   "in_place": {"time": 61.0, "alg_bw": 34.4, "bus_bw": 17.2, "nwrong": null}},
  {"size": 4194304, "out_of_place": {"time": 99.0, "nwrong": 3.0}}
 ]}
)";

constexpr const char* kCsv =
    R"(collective,message_bytes,num_gpus,num_nodes,gpu,algorithm,measured_time_us,measured_algbw_GBps,measured_busbw_GBps,source_repo
all_reduce,1000000,8,1,X,,10,,,a
all_reduce,8000000,8,1,X,Ring (NCCL_NVLS_ENABLE=0),,100,,a
all_gather,8000000,4,2,X,,,,150,a
all_reduce,8000000,8,1,Y,,99,,,b
send_recv,8000000,2,1,X,,99,,,a
all_reduce,8000000,8,,X,,99,,,a
all_reduce,8000000,9,2,X,,99,,,a
all_reduce,8000000,8,1,X,,,,,a
all_reduce,8000000,8,1,X,Magic,9,,,a
)";

MeasuredCollective row_of(double payload, double microseconds, std::int64_t gpus = 8) {
  MeasuredCollective row;
  row.payload = Bytes(payload);
  row.time = Seconds(microseconds * 1e-6);
  row.gpus = gpus;
  row.nodes = 1;
  row.source = "a test";
  return row;
}

}  // namespace

TEST_CASE("the text of nccl-tests says the collective, the group and its nodes", "[calibrate]") {
  const CollectiveTable table = parsed(kText);
  REQUIRE(table.rows.size() == 2);
  const MeasuredCollective& row = table.rows.front();
  CHECK(row.kind == CollectiveKind::all_reduce);
  CHECK(row.gpus == 4);
  CHECK(row.nodes == 2);
  CHECK(row.payload == 1_MiB);
  CHECK_THAT(row.time.value, WithinRel(52.4e-6, 1e-12));
  CHECK(row.line == 14);
  CHECK_THAT(table.rows[1].time.value, WithinRel(120e-6, 1e-12));
  CHECK(table.rejected.at("the result was wrong") == 1);
  CHECK(table.rejected.at("no payload or no time") == 1);
}

TEST_CASE("lines that mpirun tagged, and older heads without a root, are read as well",
          "[calibrate]") {
  CollectiveTableOptions options;
  options.kind = CollectiveKind::all_gather;
  options.gpus = 8;
  options.gpus_per_node = 4;
  const CollectiveTable table = parsed(
      "[1,0]<stdout>:#  size  count  type  time  algbw  busbw  error\n"
      "[1,0]<stdout>:  1024  32  float  9.5  0.11  0.10  0e+00\n",
      options);
  REQUIRE(table.rows.size() == 1);
  CHECK(table.rows[0].kind == CollectiveKind::all_gather);
  CHECK(table.rows[0].nodes == 2);
  CHECK_THAT(table.rows[0].time.value, WithinRel(9.5e-6, 1e-12));
}

TEST_CASE("what a text does not say is asked for, and what is broken has its line", "[calibrate]") {
  const std::string row = "  1024  32  float  sum  -1  9.5  0.11  0.10  0\n";
  CollectiveTableOptions options;
  CHECK(has(mistake(row), "say which (--kind)"));
  options.kind = CollectiveKind::all_reduce;
  CHECK(has(mistake(row, options), "say how many (--gpus)"));
  options.gpus = 8;
  CHECK(has(mistake(row, options), "(--gpus-per-node)"));
  options.gpus_per_node = 3;
  CHECK(has(mistake(row, options), "8 GPUs do not fill nodes of 3"));
  options.gpus_per_node = 8;
  CHECK(mistake(row, options).empty());
  CHECK(has(mistake(row + "  2048  64  float\n", options), "file:2:1: expected size, count"));
  CHECK(has(mistake("1024 32 float sum -1 soon 0.1 0.1 0\n", options),
            "file:1:1: expected a time in us in column 6, got 'soon'"));
  CHECK(has(mistake("nothing\n", options), "no result of nccl-tests"));
  CHECK(has(mistake("", options), "no result of nccl-tests"));
  options.kind = CollectiveKind::broadcast;
  CHECK(has(mistake(kText, options), "measures all_reduce, but broadcast was asked for"));
}

TEST_CASE("the JSON of nccl-tests is read, in-place where nothing else is", "[calibrate]") {
  const CollectiveTable table = parsed(kJson);
  REQUIRE(table.rows.size() == 2);
  CHECK(table.rows[0].kind == CollectiveKind::all_to_all);
  CHECK(table.rows[0].gpus == 2);
  CHECK(table.rows[0].nodes == 1);
  CHECK_THAT(table.rows[0].time.value, WithinRel(40.5e-6, 1e-12));
  CHECK_THAT(table.rows[1].time.value, WithinRel(61e-6, 1e-12));
  CHECK(table.rejected.at("the result was wrong") == 1);
}

TEST_CASE("JSON that nccl-tests did not write is refused", "[calibrate]") {
  CollectiveTableOptions options;
  options.kind = CollectiveKind::all_reduce;
  options.gpus = 2;
  options.gpus_per_node = 2;
  CHECK(has(mistake("{}", options), "no list 'results'"));
  CHECK(has(mistake("{\"results\": [4]}", options), "expected a table of one result"));
  CHECK(has(mistake("{\"results\": [{}]}", options), "a result has no number 'size'"));
  CHECK(has(mistake("{\"results\": []}", options), "no result can be used"));
  CHECK_FALSE(mistake("{\"results\": ", options).empty());
}

TEST_CASE("a table gives times, or bandwidths that say them", "[calibrate]") {
  CollectiveTableOptions options;
  options.where = {{"gpu", "X"}};
  const CollectiveTable table = parsed(kCsv, options);
  REQUIRE(table.rows.size() == 3);
  CHECK_THAT(table.rows[0].time.value, WithinRel(10e-6, 1e-12));
  // 8 MB at 100 GB/s of algorithm bandwidth.
  CHECK_THAT(table.rows[1].time.value, WithinRel(80e-6, 1e-12));
  CHECK(table.rows[1].algorithm == "ring");
  // 3/4 of 8 MB at 150 GB/s of bus bandwidth.
  CHECK_THAT(table.rows[2].time.value, WithinRel(40e-6, 1e-12));
  CHECK(table.rows[2].gpus_per_node() == 2);
  CHECK(table.rows[2].line == 4);
  CHECK(table.rejected.at("collective 'send_recv' is none of ours") == 1);
  CHECK(table.rejected.at("not as many GPUs on each node") == 1);
  CHECK(table.rejected.at("no time") == 1);
  CHECK(table.rejected.at("algorithm 'Magic' is none of ours") == 1);
  CHECK(table.rejected.at("no payload, or no group of two or more GPUs on known nodes") == 1);
  options.where.emplace_back("gpu", "Y");
  options.algorithm = "tree";
  const CollectiveTable both = parsed(kCsv, options);
  CHECK(both.rows.size() == 4);
  CHECK(both.rows[0].algorithm == "tree");
  CHECK(both.rows[1].algorithm == "ring");
}

TEST_CASE("a table without the columns or rows asked for is refused", "[calibrate]") {
  CHECK(has(mistake("collective,message_bytes,gpus,nodes\nall_reduce,8,8,1\n"), "num_gpus"));
  CollectiveTableOptions options;
  options.where = {{"gpu", "Z"}};
  CHECK(has(mistake(kCsv, options), "no row of the table can be used"));
  options.where = {{"gpus", "X"}};
  CHECK(has(mistake(kCsv, options), "gpus"));
}

TEST_CASE("programs of nccl-tests are known by their names", "[calibrate]") {
  CHECK(validation::kind_of_program("build/reduce_scatter_perf") == CollectiveKind::reduce_scatter);
  CHECK(validation::kind_of_program("alltoall_perf") == CollectiveKind::all_to_all);
  CHECK(validation::kind_of_program("all_reduce_perf_mpi") == CollectiveKind::all_reduce);
  CHECK_FALSE(validation::kind_of_program("sendrecv_perf"));
  CHECK_FALSE(validation::kind_of_program("2(factor)"));
}

TEST_CASE("rows that larger ones outrun are taken out", "[calibrate]") {
  CollectiveTable table;
  table.rows = {row_of(1e6, 20), row_of(2e6, 50), row_of(4e6, 40), row_of(6e6, 43)};
  validation::reject_erratic(table);
  REQUIRE(table.rows.size() == 3);  // 50 us is more than 1.1 * 40 us
  CHECK(table.rows[1].payload == Bytes(4e6));
  // A larger group may not be quicker either, a smaller one may.
  table.rows = {row_of(1e6, 50, 4), row_of(1e6, 20, 8)};
  validation::reject_erratic(table);
  CHECK(table.rows.size() == 1);
  table.rows = {row_of(1e6, 20, 4), row_of(1e6, 50, 8)};
  validation::reject_erratic(table);
  CHECK(table.rows.size() == 2);
}

TEST_CASE("rows of other sources, kinds and algorithms do not contradict", "[calibrate]") {
  CollectiveTable table;
  table.rows = {row_of(1e6, 50), row_of(2e6, 20), row_of(2e6, 20), row_of(2e6, 20)};
  table.rows[1].source = "another";
  table.rows[2].kind = CollectiveKind::all_gather;
  table.rows[3].algorithm = "tree";
  validation::reject_erratic(table);
  CHECK(table.rows.size() == 4);
}

TEST_CASE("twice a large payload must take longer", "[calibrate]") {
  CollectiveTable table;
  table.rows = {row_of(16e6, 100), row_of(32e6, 105), row_of(64e6, 200), row_of(128e6, 400)};
  validation::reject_erratic(table);
  REQUIRE(table.rows.size() == 3);
  CHECK(table.rows.front().payload == Bytes(32e6));
  CHECK(table.rejected.at("erratic: twice the payload took hardly longer") == 1);
  // Below 8 MiB latency may decide.
  table.rows = {row_of(1e6, 100), row_of(2e6, 105)};
  validation::reject_erratic(table);
  CHECK(table.rows.size() == 2);
}

TEST_CASE("a curve that is erratic for the most part is no curve", "[calibrate]") {
  CollectiveTable table;
  table.rows = {row_of(1e6, 60), row_of(2e6, 60), row_of(3e6, 20), row_of(100e6, 900)};
  validation::reject_erratic(table);
  REQUIRE(table.rows.size() == 1);  // two of three small rows fell, the large one stands alone
  CHECK(table.rows.front().payload == Bytes(100e6));
  CHECK(table.rejected.at("erratic: most rows of this group size are") == 1);
}

}  // namespace foretrain::testing
