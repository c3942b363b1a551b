// SPDX-License-Identifier: Apache-2.0
// The functions of cuBLASLt that the trainer calls, in plain loops over column-major matrices. In
// the place of libcublasLt.
#include <cstring>
#include <cublasLt.h>

#include "tests/validation/trainer/cuda/emulation/emulation.hpp"

namespace {

struct Description {
  cublasOperation_t a = CUBLAS_OP_N;
  cublasOperation_t b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType_t bias_type = CUDA_R_32F;
  const void* bias = nullptr;
};

struct Layout {
  cudaDataType type = CUDA_R_32F;
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  std::int64_t leading = 0;
};

template <class Kind, class Opaque>
Kind& as(Opaque* handle) {
  return *reinterpret_cast<Kind*>(handle);
}
template <class Kind, class Opaque>
const Kind& as(const Opaque* handle) {
  return *reinterpret_cast<const Kind*>(handle);
}

float number(const void* data, cudaDataType type, std::int64_t i) {
  return type == CUDA_R_32F ? static_cast<const float*>(data)[i]
                            : __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
}

// Element (i, j) of op(matrix).
float element(const void* data, const Layout& layout, cublasOperation_t operation, std::int64_t i,
              std::int64_t j) {
  const std::int64_t at =
      operation == CUBLAS_OP_N ? i + j * layout.leading : j + i * layout.leading;
  return number(data, layout.type, at);
}

}  // namespace

extern "C" {

std::size_t cublasLtGetVersion() { return 0; }
const char* cublasLtGetStatusString(cublasStatus_t /*status*/) { return "refused"; }
cublasStatus_t cublasLtCreate(cublasLtHandle_t* /*handle*/) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtDestroy(cublasLtHandle_t /*handle*/) { return CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description,
                                        cublasComputeType_t compute, cudaDataType_t /*scale*/) {
  *description = reinterpret_cast<cublasLtMatmulDesc_t>(new Description);
  return compute == CUBLAS_COMPUTE_32F ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete &as<Description>(description);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  auto& description = as<Description>(handle);
  const auto set = [&](auto& member) {
    std::memcpy(&member, value, sizeof(member));
    return bytes == sizeof(member) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(description.a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(description.b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(description.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      return set(description.bias_type);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(description.bias);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t columns,
                                          std::int64_t leading) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, leading});
  return leading < static_cast<std::int64_t>(rows) ? CUBLAS_STATUS_INVALID_VALUE
                                                   : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &as<Layout>(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* /*preference*/) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t /*preference*/) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t /*preference*/, cublasLtMatmulPreferenceAttributes_t /*attribute*/,
    const void* /*value*/, std::size_t /*bytes*/) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t /*description*/, cublasLtMatrixLayout_t /*a*/,
    cublasLtMatrixLayout_t /*b*/, cublasLtMatrixLayout_t /*c*/, cublasLtMatrixLayout_t /*d*/,
    cublasLtMatmulPreference_t /*preference*/, int /*asked*/,
    cublasLtMatmulHeuristicResult_t* results, int* found) {
  results[0] = {};
  results[0].state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t handle,
                              const void* alpha, const void* a, cublasLtMatrixLayout_t a_handle,
                              const void* b, cublasLtMatrixLayout_t b_handle, const void* beta,
                              const void* c, cublasLtMatrixLayout_t /*c_handle*/, void* d,
                              cublasLtMatrixLayout_t d_handle,
                              const cublasLtMatmulAlgo_t* /*algorithm*/, void* /*workspace*/,
                              std::size_t /*bytes*/, cudaStream_t /*stream*/) {
  const auto& description = as<Description>(handle);
  const auto& a_layout = as<Layout>(a_handle);
  const auto& b_layout = as<Layout>(b_handle);
  const auto& out = as<Layout>(d_handle);
  const bool a_plain = description.a == CUBLAS_OP_N;
  const bool b_plain = description.b == CUBLAS_OP_N;
  const std::uint64_t inner = a_plain ? a_layout.columns : a_layout.rows;
  if ((a_plain ? a_layout.rows : a_layout.columns) != out.rows ||
      (b_plain ? b_layout.columns : b_layout.rows) != out.columns ||
      (b_plain ? b_layout.rows : b_layout.columns) != inner) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  for (std::int64_t j = 0; j < static_cast<std::int64_t>(out.columns); ++j) {
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(out.rows); ++i) {
      float sum = 0;
      for (std::int64_t k = 0; k < static_cast<std::int64_t>(inner); ++k) {
        sum +=
            element(a, a_layout, description.a, i, k) * element(b, b_layout, description.b, k, j);
      }
      const std::int64_t at = i + j * out.leading;
      float value = *static_cast<const float*>(alpha) * sum;
      if (*static_cast<const float*>(beta) != 0) {
        value += *static_cast<const float*>(beta) * number(c, out.type, at);
      }
      if (description.epilogue == CUBLASLT_EPILOGUE_BIAS) {
        value += number(description.bias, description.bias_type, i);
      }
      if (out.type == CUDA_R_32F) {
        static_cast<float*>(d)[at] = value;
      } else {
        static_cast<__nv_bfloat16*>(d)[at] = __float2bfloat16(value);
      }
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
