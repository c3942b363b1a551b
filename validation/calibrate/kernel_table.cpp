// Tables differ in how they spell things; what is special to one published source is said here,
// once.
// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/kernel_table.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "platforms/names.hpp"

namespace foretrain::validation {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// "fp16 in, fp32 accumulate", "bf16 in, fp32 out", "fp8 e4m3 (...) -> bf16": the inputs come first.
std::optional<Dtype> dtype_of(std::string_view text) {
  for (const auto& [name, dtype] : kDtypeNames) {
    if (text.starts_with(name)) {
      return dtype;
    }
  }
  return std::nullopt;
}

Dtype dtype_in(const CsvRow& row, const KernelTableOptions& options) {
  if (!row.has("dtype")) {
    return options.dtype;
  }
  const auto dtype = dtype_of(row.text("dtype"));
  if (!dtype) {
    throw Rejected{"data type is none of ours"};
  }
  return *dtype;
}

std::int64_t needed(const CsvRow& row, std::string_view column) {
  const auto value = row.count(column);
  if (!value) {
    throw Rejected{"no shape"};
  }
  return *value;
}

Seconds positive(double seconds) {
  if (seconds <= 0) {
    throw Rejected{"no time"};
  }
  return Seconds(seconds);
}

/// `counted` is the work that the row's rate counts.
Seconds time_in(const CsvRow& row, Flops counted) {
  constexpr std::array<std::pair<std::string_view, double>, 4> kTimes = {
      {{"measured_time_ms", 1e-3}, {"time_ms", 1e-3}, {"time_us", 1e-6}, {"time", 1e-6}}};
  for (const auto& [column, unit] : kTimes) {
    if (const auto time = row.number(column)) {
      return positive(*time * unit);
    }
  }
  const auto rate = row.number("measured_tflops");
  return positive(rate && *rate > 0 ? counted.value / (*rate * 1e12) : 0.0);
}

// The best of a search over shapes says what is possible, not what a kernel takes.
void reject_best_of_search(const CsvRow& row) {
  if (contains(row.text("op_detail"), "max achievable") ||
      contains(row.text("op_detail"), "best shape")) {
    throw Rejected{"best of a search over shapes"};
  }
}

// What misalignment costs is a rule of kernel_time and no parameter of a GPU file. Tables disagree
// on it: V100 rows with k = 1530 run at full speed, those with odd m and n take half as long again.
void reject_misaligned(const Gemm& gemm) {
  if (gemm.n % 8 != 0 || gemm.k % 8 != 0) {
    throw Rejected{"n or k is no multiple of 8"};
  }
}

// TransformerEngine's layouts: TN forward, NN input gradient, NT weight gradient. A weight gradient
// accumulated in 16 bit runs at the forward rate (MooreThreads/SimuMax, B200: 0.515 of peak against
// 0.498 forward and 0.464 accumulating in fp32).
void set_pass(Gemm& gemm, const CsvRow& row, bool is_weight_gradient) {
  const bool is_accumulating = row.truth("accumulate").value_or(false);
  const bool is_fp32 = contains(row.text("dtype"), "fp32 out") ||
                       contains(row.text("notes"), "main_grad_dtype=fp32");
  if (is_weight_gradient) {
    gemm.pass = is_fp32 ? GemmPass::weight_gradient : GemmPass::forward;
    gemm.output_bytes = is_fp32 ? (is_accumulating ? 8 : 4) : (is_accumulating ? 4 : 2);
  } else if (contains(row.text("dtype"), "fp32 out")) {
    gemm.output_bytes = 4;
  }
}

// DeepGEMM's grouped kernel is one launch; TransformerEngine launches one cuBLAS kernel per expert.
bool is_one_launch(const CsvRow& row) { return contains(row.text("op_detail"), "DeepGEMM"); }

MeasuredKernel grouped_kernel(const CsvRow& row, Gemm gemm) {
  const std::string& pass = row.text("op_detail");
  if (pass == "bwd_grad_w") {  // named as forward: sums over m, has n x k outputs
    gemm.m = needed(row, "n");
    gemm.n = needed(row, "k");
    gemm.k = needed(row, "m");
    set_pass(gemm, row, true);
  }
  gemm.is_grouped = !is_one_launch(row);
  MeasuredKernel measured;
  measured.m = needed(row, "m");
  measured.table =
      gemm.is_grouped ? "grouped" : "gemm." + std::string(name_in(kDtypeNames, gemm.dtype));
  measured.kernel.shape = gemm;
  return measured;
}

MeasuredKernel gemm_kernel(const CsvRow& row, const KernelTableOptions& options) {
  reject_best_of_search(row);
  Gemm gemm;
  gemm.m = needed(row, "m");
  gemm.n = needed(row, "n");
  gemm.k = needed(row, "k");
  gemm.batch = row.count("batch").value_or(1);
  gemm.dtype = dtype_in(row, options);
  if (row.text("layout").starts_with("A=") || row.has("a_t")) {
    std::swap(gemm.m, gemm.n);  // DeepBench's matrices are column-major, ours row-major
  }
  reject_misaligned(gemm);
  MeasuredKernel measured;
  if (row.text("kernel") == "grouped gemm") {
    measured = grouped_kernel(row, gemm);
  } else {
    set_pass(gemm, row, row.text("layout") == "NT");
    measured.m = needed(row, "m");
    measured.table = "gemm." + std::string(name_in(kDtypeNames, gemm.dtype));
    measured.kernel.shape = gemm;
  }
  measured.shape = fmt::format("{} {} {} {} {} {}", gemm.m, gemm.n, gemm.k, gemm.batch,
                               row.text("layout"), row.text("accumulate"));
  measured.time = time_in(row, flops(measured.kernel));
  return measured;
}

MeasuredKernel flash_kernel(const CsvRow& row, const KernelTableOptions& options) {
  FlashAttention flash;
  flash.batch = row.count("batch").value_or(1);
  flash.heads = needed(row, "heads");
  flash.query_length = flash.key_length = needed(row, "seq_length");
  flash.qk_head_dim = flash.v_head_dim = needed(row, "head_dim");
  flash.version = options.flash;
  flash.dtype = dtype_in(row, options);
  flash.is_backward = row.text("kernel") == "attention bwd";
  if (flash.qk_head_dim != options.head_dim) {
    throw Rejected{fmt::format("attention with a head dimension other than {}", options.head_dim)};
  }
  MeasuredKernel measured;
  measured.m = flash.query_length;
  measured.table = "flash." + std::string(name_in(kFlashNames, options.flash)) +
                   (flash.is_backward ? ".backward" : ".forward");
  measured.shape = fmt::format("{} {}", flash.query_length, flash.heads);
  measured.kernel.shape = flash;
  measured.time = time_in(row, flops(measured.kernel) * 2.0);
  return measured;
}

struct OpSpelling {
  std::string_view prefix;  ///< of op_detail
  MemoryOp op;
  double bytes;  ///< per element of m x n, 16 bit
};
// microsoft/vidur's names. Its activation kernels have no class of their own in a GPU file:
// training fuses them.
constexpr std::array<OpSpelling, 5> kOps = {{{"add ", MemoryOp::streaming, 6},
                                             {"input_layernorm", MemoryOp::norm, 4},
                                             {"post_attention_layernorm", MemoryOp::norm, 4},
                                             {"attn_rope", MemoryOp::rotary, 4},
                                             {"emb ", MemoryOp::gather, 4}}};

// Rotary works on keys too. Key-value heads per head of the models that vidur measured, from their
// published configurations; the others have as many.
double rotary_work(const CsvRow& row) {
  const auto heads = row.count("heads");
  const auto kv_heads = row.count("kv_heads");
  if (heads && kv_heads) {
    return 1 + static_cast<double>(*kv_heads) / static_cast<double>(*heads);
  }
  constexpr std::array<std::string_view, 3> kEighth = {"Llama-2-70b", "Llama-3-70B",
                                                       "CodeLlama-34b"};
  const std::string& model = row.text("op_detail");
  for (const std::string_view name : kEighth) {
    if (contains(model, name)) {
      return 1 + 1.0 / 8;
    }
  }
  return contains(model, "Llama-3-8B") ? 1 + 1.0 / 4 : 2;
}

// A row that says what class of kernel it is, and what it reads and writes.
MeasuredKernel stated_memory_kernel(const CsvRow& row, const KernelTableOptions& options) {
  const auto* found =
      std::find_if(kMemoryOpNames.begin(), kMemoryOpNames.end(),
                   [&](const auto& choice) { return choice.name == row.text("memory_op"); });
  const double bytes = row.number("bytes").value_or(0);
  if (found == kMemoryOpNames.end() || bytes <= 0) {
    throw Rejected{"memory-bound op without a class of a GPU file or without bytes"};
  }
  MemoryBound shape{found->value, Bytes(bytes), row.count("rows").value_or(0), 0};
  if (shape.rows > 0) {  // an element for each read and write of one
    shape.row_elements =
        bytes / (2 * size_of(dtype_in(row, options)).value * static_cast<double>(shape.rows));
  }
  MeasuredKernel measured;
  measured.m = row.count("m").value_or(0);
  measured.table = "memory_bound." + std::string(found->name);
  measured.shape = fmt::format("{} {} {}", row.text("op_detail"), row.text("m"), row.text("n"));
  measured.kernel.shape = shape;
  measured.time = time_in(row, Flops(0));
  return measured;
}

MeasuredKernel memory_kernel(const CsvRow& row, const KernelTableOptions& options) {
  if (row.has("memory_op")) {
    return stated_memory_kernel(row, options);
  }
  const std::string& name = row.text("op_detail");
  const auto* found = std::find_if(kOps.begin(), kOps.end(), [&](const OpSpelling& spelling) {
    return name.starts_with(spelling.prefix);
  });
  if (found == kOps.end()) {
    throw Rejected{"memory-bound op that a GPU file has no class for"};
  }
  if (found->op == MemoryOp::norm && contains(name, "phi-2")) {
    throw Rejected{"LayerNorm, where the table's other norms are RMSNorm"};
  }
  const std::int64_t rows = needed(row, "m");
  const double work = found->op == MemoryOp::rotary ? rotary_work(row) : 1.0;
  const double width = work * static_cast<double>(needed(row, "n"));
  MeasuredKernel measured;
  measured.m = rows;
  measured.table = "memory_bound." + std::string(name_in(kMemoryOpNames, found->op));
  measured.shape = fmt::format("{} {} {}", measured.table, rows, row.text("n"));
  measured.kernel.shape =
      MemoryBound{found->op, Bytes(found->bytes * static_cast<double>(rows) * width), rows, width};
  measured.time = time_in(row, Flops(0));
  return measured;
}

MeasuredKernel kernel_of(const CsvRow& row, const KernelTableOptions& options) {
  const std::string& kernel = row.text("kernel");
  if (kernel.empty() || kernel == "gemm" || kernel == "grouped gemm") {
    return gemm_kernel(row, options);
  }
  if (kernel == "attention fwd" || kernel == "attention bwd") {
    return flash_kernel(row, options);
  }
  if (kernel == "memory-bound") {
    return memory_kernel(row, options);
  }
  throw Rejected{"kernel '" + kernel + "' is none of ours"};
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void require_columns(const CsvTable& table, config::Diagnostics& diagnostics) {
  constexpr std::array<std::string_view, 3> kShape = {"m", "n", "k"};
  table.require(kShape, diagnostics);
  constexpr std::array<std::string_view, 5> kTimes = {"measured_time_ms", "time_ms", "time_us",
                                                      "time", "measured_tflops"};
  if (std::none_of(kTimes.begin(), kTimes.end(),
                   [&](std::string_view name) { return table.has_column(name); })) {
    constexpr std::array<std::string_view, 1> kFirst = {"measured_time_ms"};
    table.require(kFirst, diagnostics);
  }
  diagnostics.throw_if_any();
}

// A mistyped GPU would leave nothing to fit: say which there are.
[[noreturn]] void fail_unknown_gpu(const CsvTable& table, const KernelTableOptions& options,
                                   config::Diagnostics& diagnostics) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const std::string& name = table.row(i, diagnostics).text("gpu");
    if (!name.empty() && !holds(names, name)) {
      names.push_back(name);
    }
  }
  diagnostics.add(
      table.position(), "",
      fmt::format("no row of the table is of GPU '{}'; it has {}", options.gpu_name,
                  names.empty() ? "no column 'gpu'" : fmt::format("{}", fmt::join(names, ", "))));
  diagnostics.throw_if_any();
  throw InternalError("a mistake was reported and not thrown");
}

}  // namespace

KernelTable read_kernel_table(const CsvTable& table, const KernelTableOptions& options) {
  config::Diagnostics diagnostics;
  require_columns(table, diagnostics);
  KernelTable result;
  std::size_t num_rows = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const CsvRow row = table.row(i, diagnostics);
    const bool is_other_board = holds(options.same_chip, row.text("gpu"));
    if (!options.gpu_name.empty() && row.text("gpu") != options.gpu_name && !is_other_board) {
      continue;
    }
    ++num_rows;
    try {
      MeasuredKernel measured = kernel_of(row, options);
      measured.is_other_board = is_other_board;
      measured.source = row.text("source_repo");
      result.kernels.push_back(std::move(measured));
    } catch (const Rejected& rejected) {
      ++result.rejected[rejected.reason];
    }
  }
  diagnostics.throw_if_any();
  if (num_rows == 0) {
    fail_unknown_gpu(table, options, diagnostics);
  }
  return result;
}

}  // namespace foretrain::validation
