// Turns what CUDA, cuBLASLt and NCCL return into exceptions that say where, and what was called.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>
#include <stdexcept>
#include <string>

namespace foretrain::trainer::cuda {

/// Throws std::runtime_error: "file:line: call: reason".
[[noreturn]] inline void fail(const char* file, int line, const char* call, const char* reason) {
  throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                           reason);
}

}  // namespace foretrain::trainer::cuda

#define CUDA_CHECK(call)                                                     \
  do {                                                                       \
    const cudaError_t cuda_check_status = (call);                            \
    if (cuda_check_status != cudaSuccess) {                                  \
      foretrain::trainer::cuda::fail(__FILE__, __LINE__, #call,              \
                                     cudaGetErrorString(cuda_check_status)); \
    }                                                                        \
  } while (false)

// For callers that include <cublasLt.h>.
#define CUBLAS_CHECK(call)                                                          \
  do {                                                                              \
    const cublasStatus_t cublas_check_status = (call);                              \
    if (cublas_check_status != CUBLAS_STATUS_SUCCESS) {                             \
      foretrain::trainer::cuda::fail(__FILE__, __LINE__, #call,                     \
                                     cublasLtGetStatusString(cublas_check_status)); \
    }                                                                               \
  } while (false)

// For callers that include <nccl.h>.
#define NCCL_CHECK(call)                                                     \
  do {                                                                       \
    const ncclResult_t nccl_check_status = (call);                           \
    if (nccl_check_status != ncclSuccess) {                                  \
      foretrain::trainer::cuda::fail(__FILE__, __LINE__, #call,              \
                                     ncclGetErrorString(nccl_check_status)); \
    }                                                                        \
  } while (false)
