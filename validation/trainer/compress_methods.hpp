// The compressors that the trainer has, one file each; the table is in compress.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "validation/trainer/compress.hpp"

namespace foretrain::trainer {

using MakeSum = std::unique_ptr<GradientSum> (*)(Device& device, const CodecOptions& options,
                                                 const std::vector<BucketShape>& buckets,
                                                 int ranks);

[[nodiscard]] std::unique_ptr<GradientSum> half_sum(Device& device, const CodecOptions& options,
                                                    const std::vector<BucketShape>& buckets,
                                                    int ranks);
[[nodiscard]] std::unique_ptr<GradientSum> block_int8_sum(Device& device,
                                                          const CodecOptions& options,
                                                          const std::vector<BucketShape>& buckets,
                                                          int ranks);
[[nodiscard]] std::unique_ptr<GradientSum> top_k_sum(Device& device, const CodecOptions& options,
                                                     const std::vector<BucketShape>& buckets,
                                                     int ranks);
[[nodiscard]] std::unique_ptr<GradientSum> power_sgd_sum(Device& device,
                                                         const CodecOptions& options,
                                                         const std::vector<BucketShape>& buckets,
                                                         int ranks);

/// Of the largest bucket.
[[nodiscard]] std::int64_t largest_count(const std::vector<BucketShape>& buckets);

}  // namespace foretrain::trainer
