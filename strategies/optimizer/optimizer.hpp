// Optimizers: what each keeps for a parameter, what its step reads and writes, and what else it
// runs. Nothing in here knows a run or a rank.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "models/blocks/blocks.hpp"

namespace foretrain {

/// Some optimizers treat tensors by what they are for.
enum class TensorKind : std::uint8_t {
  matrix,     ///< of a linear layer (of one expert)
  embedding,  ///< rows that tokens or positions look up
  head,       ///< of the LM head
  vector      ///< norms and biases
};

/// Trained parameters of one shape on one rank: `count` tensors of `batch` matrices each (experts).
struct ParameterTensor {
  TensorKind kind = TensorKind::matrix;
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  std::int64_t batch = 1;
  std::int64_t count = 1;

  /// Of all of them.
  [[nodiscard]] double matrices() const {
    return static_cast<double>(count) * static_cast<double>(batch);
  }
  [[nodiscard]] double elements() const {
    return matrices() * static_cast<double>(rows) * static_cast<double>(columns);
  }
};

/// Bytes of one number of each kind of model state.
struct StateSizes {
  double parameter = 2;  ///< as forward and backward read it
  double master = 4;     ///< the copy that is updated; 0: the parameter itself is
  double gradient = 4;   ///< as the optimizer reads it
  double state = 4;      ///< momentum, variance, ...
};

/// What ranks tell one another before they update, where tensors are cut between them.
struct OptimizerExchange {
  double gathered = 0;  ///< bytes of whole tensors that every rank must have
  double reduced = 0;   ///< bytes of sums over tensors
};

/// Bytes for all tensors of an entry, before sharding.
using BytesFunction = double (*)(const ParameterTensor& tensor, const StateSizes& sizes);
/// What runs on `batch` whole matrices of a shape beside the passes over memory.
using KernelsFunction = std::vector<Step> (*)(const ParameterTensor& tensor, std::int64_t batch);
using ExchangeFunction = OptimizerExchange (*)(const ParameterTensor& tensor);

struct OptimizerAlgorithm {
  std::string_view name;
  std::string_view sentence;
  BytesFunction state;                  ///< kept from step to step, without the master copy
  BytesFunction traffic;                ///< read and written in device memory by a step
  KernelsFunction kernels = nullptr;    ///< none
  ExchangeFunction exchange = nullptr;  ///< element by element: any cut will do
};

/// All optimizers; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const OptimizerAlgorithm> optimizers();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const OptimizerAlgorithm& optimizer(std::string_view name);

/// Bytes that a parameter is read and written with: the master copy in place and the 16-bit copy
/// anew, or the parameter in place.
[[nodiscard]] constexpr double parameter_traffic(const StateSizes& sizes) {
  return sizes.master > 0 ? 2 * sizes.master + sizes.parameter : 2 * sizes.parameter;
}
/// One fused pass: reads the gradient, reads and writes the state and the parameter.
[[nodiscard]] constexpr double one_pass(const StateSizes& sizes, double state_bytes) {
  return sizes.gradient + 2 * state_bytes + parameter_traffic(sizes);
}

// The implementations, one file each.
[[nodiscard]] double adam_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double adam_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double adam_8bit_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double adam_8bit_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double sgd_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double sgd_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double sgd_momentum_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double sgd_momentum_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double lion_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double lion_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double adafactor_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double adafactor_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] OptimizerExchange adafactor_exchange(const ParameterTensor& tensor);
[[nodiscard]] double muon_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double muon_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] std::vector<Step> muon_kernels(const ParameterTensor& tensor, std::int64_t batch);
[[nodiscard]] OptimizerExchange muon_exchange(const ParameterTensor& tensor);
[[nodiscard]] double lamb_state(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] double lamb_traffic(const ParameterTensor& tensor, const StateSizes& sizes);
[[nodiscard]] OptimizerExchange lamb_exchange(const ParameterTensor& tensor);

}  // namespace foretrain
