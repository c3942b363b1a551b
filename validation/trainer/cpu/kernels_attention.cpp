// Causal attention by matrix products of Eigen, head by head and in blocks of rows, so that most of
// what the mask would throw away is not computed.
// B = sequences, S = tokens of a sequence, H = heads, D = width of a head.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>

#include <Eigen/Core>

#include "validation/trainer/cpu/cpu_device.hpp"

namespace foretrain::trainer {
namespace {

// Rows of a block: fewer skip more of the mask, but make the products slimmer.
constexpr std::int64_t kRows = 64;

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Strided = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;
using Numbers = Eigen::Map<Eigen::ArrayXf>;

// The three [S, D] of one head in qkv [B, S, 3, H, D], or in its gradient.
struct Head {
  Strided query;
  Strided key;
  Strided value;
};

Head head_of(const Tensor& qkv, const AttentionShape& shape, std::int64_t b, std::int64_t h) {
  const std::int64_t width = shape.heads * shape.head_dim;
  float* const first = qkv.as<float>() + b * shape.sequence * 3 * width + h * shape.head_dim;
  const Eigen::OuterStride<> stride(3 * width);
  return {Strided(first, shape.sequence, shape.head_dim, stride),
          Strided(first + width, shape.sequence, shape.head_dim, stride),
          Strided(first + 2 * width, shape.sequence, shape.head_dim, stride)};
}

// [S, D] of one head in [B, S, H, D].
Strided out_of(const Tensor& out, const AttentionShape& shape, std::int64_t b, std::int64_t h) {
  const std::int64_t width = shape.heads * shape.head_dim;
  return {out.as<float>() + b * shape.sequence * width + h * shape.head_dim, shape.sequence,
          shape.head_dim, Eigen::OuterStride<>(width)};
}

// [S, S] of one head in [B, H, S, S]. What lies right of a block on the diagonal is never touched.
Strided probabilities_of(const Tensor& saved, const AttentionShape& shape, std::int64_t b,
                         std::int64_t h) {
  const std::int64_t s = shape.sequence;
  return {saved.as<float>() + (b * shape.heads + h) * s * s, s, s, Eigen::OuterStride<>(s)};
}

// Scores of a row become probabilities of its first `seen` columns; the others become zero.
void softmax(float* scores, std::int64_t seen, std::int64_t columns, float scale) {
  Numbers row(scores, seen);
  row = ((row - row.maxCoeff()) * scale).exp();
  row *= 1 / row.sum();
  std::fill(scores + seen, scores + columns, 0.0F);
}

void attend(Strided out, Strided p, const Head& in, float scale) {
  for (std::int64_t first = 0; first < p.rows(); first += kRows) {
    const std::int64_t rows = std::min(kRows, p.rows() - first);
    const std::int64_t columns = first + rows;
    auto block = p.block(first, 0, rows, columns);
    block.noalias() = in.query.middleRows(first, rows) * in.key.topRows(columns).transpose();
    for (std::int64_t i = 0; i < rows; ++i) {
      softmax(&block(i, 0), first + i + 1, columns, scale);
    }
    out.middleRows(first, rows).noalias() = block * in.value.topRows(columns);
  }
}

// With P = softmax(scale Q K^T) and O = P V: dP = dO V^T, dS = P (dP - rowsum(dO O)), and then
// dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO.
void attend_gradient(Head gradient, const Strided& out_gradient, const Strided& out,
                     const Strided& p, const Head& in, float scale, Matrix& scratch) {
  gradient.key.setZero();
  gradient.value.setZero();
  for (std::int64_t first = 0; first < p.rows(); first += kRows) {
    const std::int64_t rows = std::min(kRows, p.rows() - first);
    const std::int64_t columns = first + rows;
    const auto d_out = out_gradient.middleRows(first, rows);
    const auto block = p.block(first, 0, rows, columns);
    auto ds = scratch.topLeftCorner(rows, columns);
    ds.noalias() = d_out * in.value.topRows(columns).transpose();
    for (std::int64_t i = 0; i < rows; ++i) {
      const float dot = d_out.row(i).dot(out.row(first + i));
      ds.row(i).array() = block.row(i).array() * (ds.row(i).array() - dot) * scale;
    }
    gradient.query.middleRows(first, rows).noalias() = ds * in.key.topRows(columns);
    gradient.key.topRows(columns).noalias() += ds.transpose() * in.query.middleRows(first, rows);
    gradient.value.topRows(columns).noalias() += block.transpose() * d_out;
  }
}

float scale_of(const AttentionShape& shape) {
  return 1 / std::sqrt(static_cast<float>(shape.head_dim));
}

}  // namespace

std::int64_t CpuDevice::attention_saved_count(const AttentionShape& shape) const {
  return shape.batch * shape.heads * shape.sequence * shape.sequence;
}

void CpuDevice::attention(const Tensor& out, const Tensor& saved, const Tensor& qkv,
                          const AttentionShape& shape) {
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      attend(out_of(out, shape, b, h), probabilities_of(saved, shape, b, h),
             head_of(qkv, shape, b, h), scale_of(shape));
    }
  }
}

void CpuDevice::attention_gradient(const Tensor& qkv_gradient, const Tensor& out_gradient,
                                   const Tensor& out, const Tensor& saved, const Tensor& qkv,
                                   const AttentionShape& shape) {
  Matrix scratch(std::min(kRows, shape.sequence), shape.sequence);
  for (std::int64_t b = 0; b < shape.batch; ++b) {
    for (std::int64_t h = 0; h < shape.heads; ++h) {
      attend_gradient(head_of(qkv_gradient, shape, b, h), out_of(out_gradient, shape, b, h),
                      out_of(out, shape, b, h), probabilities_of(saved, shape, b, h),
                      head_of(qkv, shape, b, h), scale_of(shape), scratch);
    }
  }
}

}  // namespace foretrain::trainer
