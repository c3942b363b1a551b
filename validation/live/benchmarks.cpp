// SPDX-License-Identifier: Apache-2.0
#include "validation/live/benchmarks.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <string_view>

#include "validation/statistics.hpp"

namespace foretrain::live {
namespace {

using validation::CsvRow;
using validation::CsvTable;

// How long each row took, and what it moved or did.
struct Total {
  double work = 0;
  double seconds = 0;
  [[nodiscard]] double rate() const { return seconds > 0 ? work / seconds : 0; }
  Total& operator+=(const Total& other) {
    work += other.work;
    seconds += other.seconds;
    return *this;
  }
};

template <class Use>
void for_each_row(const CsvTable& table, std::span<const std::string_view> columns, Use use) {
  config::Diagnostics diagnostics;
  table.require(columns, diagnostics);
  diagnostics.throw_if_any();
  for (std::size_t i = 0; i < table.size(); ++i) {
    use(table.row(i, diagnostics));
  }
  diagnostics.throw_if_any();
}

[[noreturn]] void fail_without(const CsvTable& table, const std::string& what) {
  config::Diagnostics diagnostics;
  diagnostics.add(table.position(), "", "no row of the table " + what);
  diagnostics.throw_if_any();
  throw InternalError("a mistake was reported and not thrown");
}

// A required positive number.
double positive(const CsvRow& row, std::string_view column) {
  const auto value = row.number(column);
  if (!value || *value <= 0) {
    row.fail(column, "expected a number above zero");
    return 1;
  }
  return *value;
}

constexpr std::array<std::string_view, 5> kKernelColumns = {"kernel", "m", "n", "k", "time_us"};

}  // namespace

std::vector<CodecRate> read_codec_rates(const CsvTable& table) {
  constexpr std::array<std::string_view, 4> kColumns = {"method", "message_bytes", "encode_us",
                                                        "decode_us"};
  struct Both {
    Total encode;
    Total decode;
  };
  std::map<std::string, Both> methods;
  for_each_row(table, kColumns, [&](const CsvRow& row) {
    Both& both = methods[row.text("method")];
    for (const auto& [total, column] :
         {std::pair(&both.encode, "encode_us"), std::pair(&both.decode, "decode_us")}) {
      total->work += positive(row, "message_bytes");
      total->seconds += positive(row, column) * 1e-6;
    }
  });
  std::vector<CodecRate> rates;
  rates.reserve(methods.size());
  for (const auto& [method, both] : methods) {
    rates.push_back(
        {method, BytesPerSecond(both.encode.rate()), BytesPerSecond(both.decode.rate())});
  }
  return rates;
}

MemoryRates read_memory_rates(const CsvTable& table) {
  constexpr std::array<std::string_view, 2> kColumns = {"memory_op", "bytes"};
  config::Diagnostics diagnostics;
  table.require(kColumns, diagnostics);
  diagnostics.throw_if_any();
  std::map<std::string, Total> ops;
  std::map<std::string, Total> passes;  // over parameters, in the optimizer
  for_each_row(table, kKernelColumns, [&](const CsvRow& row) {
    if (row.text("kernel") != "memory-bound") {
      return;
    }
    const double seconds = positive(row, "time_us") * 1e-6;
    if (row.has("memory_op")) {
      ops[row.text("memory_op")] += {positive(row, "bytes"), seconds};
    } else {
      passes[row.text("op_detail")] += {positive(row, "m") * positive(row, "n"), seconds};
    }
  });
  if (!ops.contains("streaming")) {
    fail_without(table, "is a kernel that streams: memory_op streaming");
  }
  double quickest = 0;
  for (const auto& [op, total] : ops) {
    quickest = std::max(quickest, total.rate());
  }
  const auto share = [&](const std::string& op) {  // one that was not measured streams
    const auto found = ops.find(op);
    const Total& total = found == ops.end() ? ops.at("streaming") : found->second;
    return std::max(0.01, total.rate() / quickest);  // as little as a GPU file may say
  };
  MemoryRates rates{BytesPerSecond(quickest), share("streaming"), share("norm"),
                    share("softmax"),         share("gather"),    0};
  for (const char* pass : {"adamw", "sum_of_squares"}) {
    if (const auto found = passes.find(pass); found != passes.end()) {
      rates.optimizer_bytes += quickest * rates.streaming / found->second.rate();
    }
  }
  return rates;
}

FlopsPerSecond best_gemm_rate(const CsvTable& table) {
  double best = 0;
  for_each_row(table, kKernelColumns, [&](const CsvRow& row) {
    if (row.text("kernel").empty() || row.text("kernel") == "gemm") {
      const double batch = row.number("batch").value_or(1);
      const double flops = 2 * batch * positive(row, "m") * positive(row, "n") * positive(row, "k");
      best = std::max(best, flops / (positive(row, "time_us") * 1e-6));
    }
  });
  if (best <= 0) {
    fail_without(table, "is a GEMM");
  }
  return FlopsPerSecond(best);
}

double read_compute_share(const CsvTable& table) {
  constexpr std::array<std::string_view, 2> kColumns = {"alone_us", "beside_us"};
  double alone = 0;
  double beside = 0;
  for_each_row(table, kColumns, [&](const CsvRow& row) {
    alone += positive(row, "alone_us");
    beside += positive(row, "beside_us");
  });
  constexpr double kMost = 0.9;  // as much as a cluster's file may say
  return beside > 0 ? std::clamp(1 - alone / beside, 0.0, kMost) : 0;
}

Seconds read_message_latency(const CsvTable& table) {
  constexpr std::array<std::string_view, 3> kColumns = {"collective", "message_bytes",
                                                        "measured_time_us"};
  constexpr double kSmall = 4096;
  std::vector<double> times;
  for_each_row(table, kColumns, [&](const CsvRow& row) {
    if (row.text("collective") == "send_recv" && positive(row, "message_bytes") <= kSmall) {
      times.push_back(positive(row, "measured_time_us") * 1e-6);
    }
  });
  if (times.empty()) {
    fail_without(table, "is a small message: collective send_recv of at most 4 KiB");
  }
  return Seconds(validation::quantile(std::move(times), 0.5));
}

}  // namespace foretrain::live
