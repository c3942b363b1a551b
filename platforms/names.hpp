// How data types, generations, flash kernels and memory-bound ops are spelt in platform files.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

#include "platforms/gpu.hpp"
#include "sim/config/reader.hpp"
#include "sim/program/kernel.hpp"

namespace foretrain {

inline constexpr std::array<config::Choice<Dtype>, 6> kDtypeNames = {{{"fp32", Dtype::fp32},
                                                                      {"tf32", Dtype::tf32},
                                                                      {"fp16", Dtype::fp16},
                                                                      {"bf16", Dtype::bf16},
                                                                      {"fp8", Dtype::fp8},
                                                                      {"fp4", Dtype::fp4}}};

inline constexpr std::array<config::Choice<FlashVersion>, 5> kFlashNames = {
    {{"flash1", FlashVersion::flash1},
     {"flash2", FlashVersion::flash2},
     {"flash3", FlashVersion::flash3},
     {"flash_triton", FlashVersion::flash_triton},
     {"flash_cudnn", FlashVersion::flash_cudnn}}};

inline constexpr std::array<config::Choice<MemoryOp>, 5> kMemoryOpNames = {
    {{"streaming", MemoryOp::streaming},
     {"norm", MemoryOp::norm},
     {"softmax", MemoryOp::softmax},
     {"rotary", MemoryOp::rotary},
     {"gather", MemoryOp::gather}}};

inline constexpr std::array<config::Choice<GpuGeneration>, 6> kGenerationNames = {
    {{"volta", GpuGeneration::volta},
     {"ampere", GpuGeneration::ampere},
     {"ada", GpuGeneration::ada},
     {"hopper", GpuGeneration::hopper},
     {"blackwell", GpuGeneration::blackwell},
     {"cdna", GpuGeneration::cdna}}};

/// REQUIRES: `value` is in the table.
template <class E, std::size_t N>
[[nodiscard]] constexpr std::string_view name_in(const std::array<config::Choice<E>, N>& table,
                                                 E value) {
  for (const config::Choice<E>& row : table) {
    if (row.value == value) {
      return row.name;
    }
  }
  return {};
}

}  // namespace foretrain
