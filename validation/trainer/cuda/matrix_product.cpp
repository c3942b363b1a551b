// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/matrix_product.hpp"

#include <algorithm>
#include <string>

#include "validation/trainer/cuda/check.hpp"

namespace foretrain::trainer::cuda {
namespace {

cudaDataType_t data_type(Type type) {
  switch (type) {
    case Type::fp32:
      return CUDA_R_32F;
    case Type::bf16:
      return CUDA_R_16BF;
    case Type::fp16:
      return CUDA_R_16F;
    case Type::int8:
    case Type::int32:
      break;
  }
  throw std::runtime_error("matrix product: integers are not multiplied");
}

// Up to 256 bytes, which is what cuBLASLt takes for granted unless told otherwise.
std::uint32_t alignment_of(const void* data) {
  std::uint32_t alignment = 256;
  while (reinterpret_cast<std::uintptr_t>(data) % alignment != 0) {
    alignment /= 2;
  }
  return alignment;
}

template <class Value>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute,
         const Value& value) {
  CUBLAS_CHECK(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof(value)));
}
template <class Value>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
         const Value& value) {
  CUBLAS_CHECK(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)));
}

struct Destroy {
  void operator()(cublasLtMatmulDesc_t handle) const { cublasLtMatmulDescDestroy(handle); }
  void operator()(cublasLtMatrixLayout_t handle) const { cublasLtMatrixLayoutDestroy(handle); }
  void operator()(cublasLtMatmulPreference_t handle) const {
    cublasLtMatmulPreferenceDestroy(handle);
  }
};
using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy>;
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy>;

Layout make_layout(Type type, std::int64_t rows, std::int64_t columns, std::int64_t leading) {
  cublasLtMatrixLayout_t layout = nullptr;
  CUBLAS_CHECK(cublasLtMatrixLayoutCreate(&layout, data_type(type),
                                          static_cast<std::uint64_t>(rows),
                                          static_cast<std::uint64_t>(columns), leading));
  return Layout(layout);
}

// As it lies in memory: op(factor) is [rows, columns].
Layout make_layout(const Factor& factor, std::int64_t rows, std::int64_t columns) {
  return factor.is_transposed ? make_layout(factor.tensor.type, columns, rows, factor.leading)
                              : make_layout(factor.tensor.type, rows, columns, factor.leading);
}

Description make_description(const Product& product) {
  cublasLtMatmulDesc_t raw = nullptr;
  CUBLAS_CHECK(cublasLtMatmulDescCreate(&raw, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  Description description(raw);
  const auto operation = [](const Factor& factor) {
    return factor.is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  set(raw, CUBLASLT_MATMUL_DESC_TRANSA, operation(product.a));
  set(raw, CUBLASLT_MATMUL_DESC_TRANSB, operation(product.b));
  if (product.bias.data != nullptr) {
    set(raw, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(raw, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, data_type(product.bias.type));
    set(raw, CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias.data);
  }
  return description;
}

}  // namespace

struct MatrixProducts::Key {
  std::int64_t m;
  std::int64_t n;
  std::int64_t k;
  std::int64_t a_leading;
  std::int64_t b_leading;
  Type in;
  Type out;
  bool a_transposed;
  bool b_transposed;
  bool accumulates;
  bool has_bias;
  std::uint32_t a_alignment;
  std::uint32_t b_alignment;
  std::uint32_t out_alignment;  // of the bias too
  auto operator<=>(const Key&) const = default;
};

struct MatrixProducts::Plan {
  Description description;
  Layout a;
  Layout b;
  Layout out;
  cublasLtMatmulAlgo_t algorithm;
};

MatrixProducts::MatrixProducts() { CUBLAS_CHECK(cublasLtCreate(&handle_)); }

MatrixProducts::~MatrixProducts() {
  plans_.clear();
  cublasLtDestroy(handle_);
}

MatrixProducts::Plan& MatrixProducts::plan_of(const Product& product) {
  std::uint32_t out_alignment = alignment_of(product.out.data);
  if (product.bias.data != nullptr) {
    out_alignment = std::min(out_alignment, alignment_of(product.bias.data));
  }
  const Key key{product.m,
                product.n,
                product.k,
                product.a.leading,
                product.b.leading,
                product.a.tensor.type,
                product.out.type,
                product.a.is_transposed,
                product.b.is_transposed,
                product.accumulates,
                product.bias.data != nullptr,
                alignment_of(product.a.tensor.data),
                alignment_of(product.b.tensor.data),
                out_alignment};
  std::unique_ptr<Plan>& slot = plans_[key];
  if (slot != nullptr) {
    return *slot;
  }
  auto plan = std::make_unique<Plan>();
  plan->description = make_description(product);
  plan->a = make_layout(product.a, product.m, product.k);
  plan->b = make_layout(product.b, product.k, product.n);
  plan->out = make_layout(product.out.type, product.m, product.n, product.m);

  cublasLtMatmulPreference_t raw = nullptr;
  CUBLAS_CHECK(cublasLtMatmulPreferenceCreate(&raw));
  const Preference preference(raw);
  set(raw, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.a_alignment);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.b_alignment);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, out_alignment);
  set(raw, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, out_alignment);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  CUBLAS_CHECK(cublasLtMatmulAlgoGetHeuristic(handle_, plan->description.get(), plan->a.get(),
                                              plan->b.get(), plan->out.get(), plan->out.get(), raw,
                                              1, &best, &found));
  if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(
        "matrix product: cuBLASLt has no algorithm for m, n, k = " + std::to_string(product.m) +
        ", " + std::to_string(product.n) + ", " + std::to_string(product.k));
  }
  plan->algorithm = best.algo;
  slot = std::move(plan);
  return *slot;
}

void MatrixProducts::run(cudaStream_t stream, void* workspace, const Product& product) {
  if (product.m == 0 || product.n == 0) {
    return;
  }
  const Plan& plan = plan_of(product);
  if (product.bias.data != nullptr) {  // a plan serves all biases of its shape
    set(plan.description.get(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias.data);
  }
  const float one = 1;
  const float beta = product.accumulates ? 1 : 0;
  CUBLAS_CHECK(cublasLtMatmul(handle_, plan.description.get(), &one, product.a.tensor.data,
                              plan.a.get(), product.b.tensor.data, plan.b.get(), &beta,
                              product.out.data, plan.out.get(), product.out.data, plan.out.get(),
                              &plan.algorithm, workspace, kWorkspaceBytes, stream));
}

}  // namespace foretrain::trainer::cuda
