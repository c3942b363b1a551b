// A table of measured kernels as kernels of ours with their times; what cannot be used is counted
// with the reason.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "platforms/gpu.hpp"
#include "validation/csv.hpp"

namespace foretrain::validation {

struct MeasuredKernel {
  Kernel kernel;
  Seconds time;
  std::string table;  ///< of the GPU file: "gemm.fp16", "grouped", "flash.flash2", "memory_bound"
  std::string shape;  ///< rows of one shape are fitted or held together
  std::string source;
  std::int64_t m = 0;           ///< rows of the first operand; for attention the sequence length
  bool is_other_board = false;  ///< measured on another board with the same chip
};

struct KernelTableOptions {
  std::string gpu_name;                       ///< as in the column `gpu`; empty takes every row
  std::vector<std::string> same_chip;         ///< rows of these boards serve as well
  FlashVersion flash = FlashVersion::flash2;  ///< what the attention rows ran
  Dtype dtype = Dtype::fp16;                  ///< where the table does not say
  std::int64_t head_dim = 128;                ///< of attention rows: other widths are other kernels
};

struct KernelTable {
  std::vector<MeasuredKernel> kernels;
  std::map<std::string, int> rejected;  ///< reason -> rows; rows of other GPUs are not counted
};

/// Columns: m, n, k of GEMMs and optionally batch; a time (`measured_time_ms`, `time_ms`,
/// `time_us`, or DeepBench's `time` in us) or a rate (`measured_tflops`); optionally kernel (gemm
/// when absent), op_detail, dtype, layout, accumulate, gpu, seq_length, heads, head_dim,
/// source_repo. Rates of attention count the full square, also of causal kernels. A memory-bound
/// kernel says what it is by memory_op (a class of a GPU file) and bytes, and where it gives rows
/// to blocks how many, in rows; or by a name in op_detail that some published table uses. Throws
/// ConfigError.
[[nodiscard]] KernelTable read_kernel_table(const CsvTable& table,
                                            const KernelTableOptions& options);

}  // namespace foretrain::validation
