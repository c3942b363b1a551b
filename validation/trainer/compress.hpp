// Sums of gradients over ranks, plain or through the simulator's compressors: the same steps in the
// same order as strategies/compress/exchange.cpp says, on real numbers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "strategies/compress/exchange.hpp"
#include "validation/trainer/communicator.hpp"
#include "validation/trainer/device.hpp"

namespace foretrain::trainer {

/// A parameter's gradient within a bucket; one row: a vector, which is never taken for a matrix.
struct BucketPart {
  std::int64_t first = 0;
  std::int64_t rows = 1;
  std::int64_t columns = 1;

  [[nodiscard]] std::int64_t count() const { return rows * columns; }
  [[nodiscard]] bool is_matrix() const { return rows > 1 && columns > 1; }
};

struct BucketShape {
  std::int64_t count = 0;         ///< numbers, with those that are of no parameter
  std::vector<BucketPart> parts;  ///< do not overlap
};

class GradientSum {
 public:
  virtual ~GradientSum() = default;
  GradientSum(const GradientSum&) = delete;
  GradientSum& operator=(const GradientSum&) = delete;

  /// The gradient (fp32) becomes its sum over the group. All buckets use one memory: calls are from
  /// one stream at a time, and every rank sums the same buckets in the same order.
  virtual void all_reduce(Stream stream, std::size_t bucket, const Tensor& gradient,
                          Communicator& group) = 0;

 protected:
  GradientSum() = default;
};

[[nodiscard]] std::unique_ptr<GradientSum> plain_sum();

/// Why the trainer cannot compress gradients so; nothing when it can.
[[nodiscard]] std::optional<std::string> refuse(const WireCompression& how);

/// Throws std::runtime_error for what refuse() has a reason against. `device` outlives the sum. Of
/// each all-reduce the spans "encode", "exchange" and "decode" are told.
[[nodiscard]] std::unique_ptr<GradientSum> compressed_sum(Device& device,
                                                          const WireCompression& how,
                                                          const std::vector<BucketShape>& buckets,
                                                          int ranks);

}  // namespace foretrain::trainer
