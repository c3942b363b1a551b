// stub
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "strategies/compress/exchange.hpp"
#include "validation/trainer/communicator.hpp"
namespace foretrain::trainer {
struct BucketPart {
  std::int64_t first;
  std::int64_t rows;
  std::int64_t columns;
};
struct BucketShape {
  std::int64_t count;
  std::vector<BucketPart> parts;
};
class GradientSum {
 public:
  virtual ~GradientSum() = default;
  virtual void all_reduce(Stream stream, std::size_t bucket, const Tensor& gradient,
                          Communicator& group) = 0;
};
std::unique_ptr<GradientSum> plain_sum();
std::unique_ptr<GradientSum> compressed_sum(Device& device, const WireCompression& how,
                                            std::vector<BucketShape> buckets, int ranks);
}  // namespace foretrain::trainer
