// What the trainer's benchmarks measured, besides what foretrain calibrate reads.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "validation/csv.hpp"

namespace foretrain::live {

/// How fast one method codes and decodes, in bytes of the message before coding.
struct CodecRate {
  std::string method;
  BytesPerSecond encode;
  BytesPerSecond decode;
};
/// Columns: method, message_bytes, encode_us, decode_us. Of several rows of a method the rates of
/// all their bytes together. Throws ConfigError.
[[nodiscard]] std::vector<CodecRate> read_codec_rates(const validation::CsvTable& table);

/// Kernels that memory bounds, or that the simulator takes for such: of each class the bytes that
/// the simulator counts over the time of all its rows.
struct MemoryRates {
  BytesPerSecond stream;  ///< of the quickest class
  double streaming = 1;   ///< shares of that rate
  double norm = 1;
  double softmax = 1;
  double gather = 1;
  double optimizer_bytes = 0;  ///< per parameter, that streaming moves while AdamW takes one step
};
/// Rows of the kernel table with memory_op and bytes (validation/calibrate/kernel_table.hpp); of
/// "adamw" and "sum_of_squares" in op_detail, m x n parameters. Throws ConfigError.
[[nodiscard]] MemoryRates read_memory_rates(const validation::CsvTable& table);
/// The highest rate of a GEMM in the table. Throws ConfigError when there is none.
[[nodiscard]] FlopsPerSecond best_gemm_rate(const validation::CsvTable& table);

/// The share of its rate that computing loses beside a communication: 1 - alone / beside, of all
/// rows together. Columns: alone_us, beside_us. Throws ConfigError.
[[nodiscard]] double read_compute_share(const validation::CsvTable& table);

/// The time of a message of next to nothing: the median of the rows of collective "send_recv" with
/// at most 4 KiB. Throws ConfigError when there is none.
[[nodiscard]] Seconds read_message_latency(const validation::CsvTable& table);

}  // namespace foretrain::live
