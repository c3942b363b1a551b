// Codecs of gradients: int8 in blocks, the largest entries, orthonormal columns.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "validation/trainer/cpu/cpu_device.hpp"

namespace foretrain::trainer {
namespace {

constexpr float kLargestCode = 127;
// Sizes as integers: the bits of |x| are in the order of |x|.
constexpr std::uint32_t kSizeBits = 0x7fffffffU;

std::uint32_t size_bits(float number) { return std::bit_cast<std::uint32_t>(number) & kSizeBits; }

float largest_size(const float* numbers, std::int64_t count) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, size_bits(numbers[i]));
  }
  return std::bit_cast<float>(largest);
}

// Returns the scale. Blocks so small that their scale has no exact inverse become zero.
float quantize_block(std::int8_t* __restrict codes, const float* __restrict in,
                     std::int64_t count) {
  const float scale = largest_size(in, count) / kLargestCode;
  if (scale < std::numeric_limits<float>::min()) {
    std::fill(codes, codes + count, std::int8_t{0});
    return 0;
  }
  const float inverse = 1 / scale;
  for (std::int64_t i = 0; i < count; ++i) {
    codes[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(std::rint(in[i] * inverse)));
  }
  return scale;
}

void dequantize_block(float* __restrict out, const std::int8_t* __restrict codes, float scale,
                      std::int64_t count, bool accumulate) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(codes[i]) * scale;
    out[i] = accumulate ? out[i] + value : value;
  }
}

constexpr int kBinShift = 20;  // 2048 bins: the exponent and three bits of the mantissa
constexpr std::int64_t kBins = (kSizeBits >> kBinShift) + 1;
constexpr std::int64_t kRun = 16;  // numbers that are passed over together

std::uint32_t largest_of_run(const float* in) {
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < kRun; ++i) {
    largest = std::max(largest, size_bits(in[i]));
  }
  return largest;
}

// Calls visit(place) for each number whose size is `least` or more, in order.
template <class Visit>
void visit_large(const float* in, std::int64_t count, std::uint32_t least, Visit visit) {
  std::int64_t first = 0;
  for (; first + kRun <= count; first += kRun) {
    if (largest_of_run(in + first) < least) {
      continue;
    }
    for (std::int64_t i = first; i < first + kRun; ++i) {
      if (size_bits(in[i]) >= least) {
        visit(i);
      }
    }
  }
  for (std::int64_t i = first; i < count; ++i) {
    if (size_bits(in[i]) >= least) {
      visit(i);
    }
  }
}

// The bin that holds the k-th largest size, and how many are in larger bins.
struct Bin {
  std::uint32_t index = 0;
  std::int64_t larger = 0;
};

Bin bin_of_kth(const float* in, std::int64_t count, std::int64_t k) {
  // Neighbours are often of one bin, and would wait for one another's counts.
  std::array<std::vector<std::int64_t>, 4> counts;
  for (std::vector<std::int64_t>& each : counts) {
    each.resize(kBins);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    ++counts[static_cast<std::size_t>(i % 4)][size_bits(in[i]) >> kBinShift];
  }
  Bin bin;
  for (std::int64_t b = kBins - 1; b >= 0; --b) {
    const auto at = static_cast<std::size_t>(b);
    const std::int64_t here = counts[0][at] + counts[1][at] + counts[2][at] + counts[3][at];
    if (bin.larger + here >= k) {
      bin.index = static_cast<std::uint32_t>(b);
      break;
    }
    bin.larger += here;
  }
  return bin;
}

// The k-th largest size, and how many of exactly that size are among the k largest.
struct Threshold {
  std::uint32_t size = 0;
  std::int64_t ties = 0;
};

// REQUIRES: 1 <= k <= count.
Threshold threshold_of(const float* in, std::int64_t count, std::int64_t k) {
  const Bin bin = bin_of_kth(in, count, k);
  std::vector<std::uint32_t> candidates;
  visit_large(in, count, bin.index << kBinShift, [&](std::int64_t i) {
    if (size_bits(in[i]) >> kBinShift == bin.index) {
      candidates.push_back(size_bits(in[i]));
    }
  });
  const auto kth = candidates.begin() + (k - bin.larger - 1);
  std::nth_element(candidates.begin(), kth, candidates.end(), std::greater<>());
  return {*kth, 1 + std::count(candidates.begin(), kth, *kth)};
}

void take_largest_now(float* values, std::int32_t* places, float* in, std::int64_t count,
                      std::int64_t k) {
  if (k <= 0) {
    return;
  }
  Threshold threshold = threshold_of(in, count, k);
  std::int64_t taken = 0;
  visit_large(in, count, threshold.size, [&](std::int64_t i) {
    const bool is_tie = size_bits(in[i]) == threshold.size;
    if (is_tie && threshold.ties-- <= 0) {
      return;
    }
    values[taken] = in[i];
    places[taken] = static_cast<std::int32_t>(i);
    in[i] = 0;
    ++taken;
  });
}

float dot(const float* __restrict a, const float* __restrict b, std::int64_t count) {
  float sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

void subtract(float* __restrict from, const float* __restrict what, float scale,
              std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    from[i] -= scale * what[i];
  }
}

float norm_of(const std::vector<float>& column) {
  float sum = 0;
  for (const float number : column) {
    sum += number * number;
  }
  return std::sqrt(sum);
}

// What is left of a column beside those before it. Where little is left, rounding has left much of
// them in it, so they are taken out again; a column that is nearly a sum of those before it becomes
// zero, which codes nothing, rather than noise that is not orthogonal.
void orthogonalize_column(std::vector<std::vector<float>>& columns, std::size_t index) {
  constexpr float kEnough = 0.5F;  // Parlett, The Symmetric Eigenvalue Problem, 6.9
  constexpr float kNothing = 1e-5F;
  std::vector<float>& column = columns[index];
  const auto rows = static_cast<std::int64_t>(column.size());
  const float whole = norm_of(column);
  float left = whole;
  for (int pass = 0; pass < 2; ++pass) {
    const float before = left;
    for (std::size_t other = 0; other < index; ++other) {
      const float* const basis = columns[other].data();
      subtract(column.data(), basis, dot(column.data(), basis, rows), rows);
    }
    left = norm_of(column);
    if (left > kEnough * before) {
      break;
    }
  }
  const float factor = left > kNothing * whole ? 1 / left : 0;
  for (float& number : column) {
    number *= factor;
  }
}

void orthogonalize_now(float* matrix, std::int64_t rows, std::int64_t num_columns) {
  std::vector<std::vector<float>> columns(static_cast<std::size_t>(num_columns),
                                          std::vector<float>(static_cast<std::size_t>(rows)));
  for (std::size_t c = 0; c < columns.size(); ++c) {
    for (std::size_t r = 0; r < columns[c].size(); ++r) {
      columns[c][r] = matrix[r * columns.size() + c];
    }
    orthogonalize_column(columns, c);
  }
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      matrix[r * columns.size() + c] = columns[c][r];
    }
  }
}

}  // namespace

void CpuDevice::quantize(Stream stream, const Tensor& codes, const Tensor& scales, const Tensor& in,
                         std::int64_t block) {
  streams_.enqueue(stream, [codes, scales, in, block] {
    for (std::int64_t b = 0; b < scales.count; ++b) {
      const std::int64_t first = b * block;
      scales.as<float>()[b] =
          quantize_block(codes.as<std::int8_t>() + first, in.as<float>() + first,
                         std::min(block, in.count - first));
    }
  });
}

void CpuDevice::dequantize(Stream stream, const Tensor& out, const Tensor& codes,
                           const Tensor& scales, std::int64_t block, bool accumulate) {
  streams_.enqueue(stream, [out, codes, scales, block, accumulate] {
    for (std::int64_t b = 0; b < scales.count; ++b) {
      const std::int64_t first = b * block;
      dequantize_block(out.as<float>() + first, codes.as<std::int8_t>() + first,
                       scales.as<float>()[b], std::min(block, out.count - first), accumulate);
    }
  });
}

void CpuDevice::take_largest(Stream stream, const Tensor& values, const Tensor& places,
                             const Tensor& in, std::int64_t k) {
  streams_.enqueue(stream, [values, places, in, k] {
    take_largest_now(values.as<float>(), places.as<std::int32_t>(), in.as<float>(), in.count, k);
  });
}

void CpuDevice::scatter_add(Stream stream, const Tensor& out, const Tensor& values,
                            const Tensor& places) {
  streams_.enqueue(stream, [out, values, places] {
    for (std::int64_t i = 0; i < values.count; ++i) {
      out.as<float>()[places.as<std::int32_t>()[i]] += values.as<float>()[i];
    }
  });
}

void CpuDevice::orthogonalize(Stream stream, const Tensor& matrix, std::int64_t rows,
                              std::int64_t columns) {
  streams_.enqueue(
      stream, [matrix, rows, columns] { orthogonalize_now(matrix.as<float>(), rows, columns); });
}

}  // namespace foretrain::trainer
