// Matrix products by cuBLASLt: the algorithm for a shape is asked for once and kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <map>
#include <memory>

#include "validation/trainer/tensor.hpp"

namespace foretrain::trainer::cuda {

/// Memory that a product may use beside its operands: what NVIDIA recommends for Hopper (cuBLAS
/// documentation, "cublasSetWorkspace").
inline constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

/// One factor of a product of column-major matrices. A row-major matrix is its transpose.
struct Factor {
  Tensor tensor;
  bool is_transposed = false;
  std::int64_t leading = 0;  ///< numbers from one column to the next
};

/// out [m, n] = a [m, k] b [k, n] (+ out) (+ bias [m] to every column, unless its data are null).
/// Sums are fp32.
struct Product {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  Factor a;
  Factor b;
  Tensor out;  ///< leading dimension m
  bool accumulates = false;
  Tensor bias;
};

class MatrixProducts {
 public:
  MatrixProducts();
  ~MatrixProducts();
  MatrixProducts(const MatrixProducts&) = delete;
  MatrixProducts& operator=(const MatrixProducts&) = delete;

  /// Enqueues the product. `workspace` has kWorkspaceBytes and belongs to the stream.
  void run(cudaStream_t stream, void* workspace, const Product& product);

 private:
  struct Key;
  struct Plan;

  Plan& plan_of(const Product& product);

  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace foretrain::trainer::cuda
