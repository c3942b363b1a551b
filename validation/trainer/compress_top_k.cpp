// The largest entries of each rank, gathered by all; what is left out is added to the next step's.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "validation/trainer/compress_methods.hpp"

namespace foretrain::trainer {
namespace {

// A code: k values (fp32), then k places (int32). It travels as 2 k numbers of four bytes.
class LargestSum final : public GradientSum {
 public:
  LargestSum(Device& device, double density, const std::vector<BucketShape>& buckets, int ranks)
      : device_(device),
        density_(density),
        ranks_(ranks),
        codes_(device.allocate(ranks_ * 2 * kept(largest_count(buckets)), Type::fp32,
                               MemoryClass::buffers)) {
    errors_.reserve(buckets.size());
    for (const BucketShape& bucket : buckets) {
      errors_.push_back(device.allocate(bucket.count, Type::fp32, MemoryClass::buffers));
    }
  }

  void all_reduce(Stream stream, std::size_t bucket, const Tensor& gradient,
                  Communicator& group) override {
    const std::int64_t k = kept(gradient.count);
    const Tensor& error = errors_[bucket];
    const Tensor codes = codes_.tensor().part(0, ranks_ * 2 * k);
    const Tensor own = codes.part(2 * k * group.rank(), 2 * k);
    {
      const SpanScope span(device_, stream, "encode");
      device_.accumulate(stream, error, gradient, 1);
      device_.take_largest(stream, values_of(own, k), places_of(own, k), error, k);
    }
    {
      const SpanScope span(device_, stream, "exchange");
      group.all_gather(stream, codes, own);
    }
    const SpanScope span(device_, stream, "decode");
    device_.clear(stream, gradient);
    for (std::int64_t rank = 0; rank < ranks_; ++rank) {
      const Tensor code = codes.part(rank * 2 * k, 2 * k);
      device_.scatter_add(stream, gradient, values_of(code, k), places_of(code, k));
    }
  }

 private:
  [[nodiscard]] std::int64_t kept(std::int64_t count) const {
    return std::min(count,
                    static_cast<std::int64_t>(std::ceil(density_ * static_cast<double>(count))));
  }
  static Tensor values_of(const Tensor& code, std::int64_t k) { return code.part(0, k); }
  static Tensor places_of(const Tensor& code, std::int64_t k) {
    return {code.part(k, k).data, k, Type::int32};
  }

  Device& device_;
  double density_;
  std::int64_t ranks_;
  Memory codes_;
  std::vector<Memory> errors_;  // by bucket
};

}  // namespace

std::unique_ptr<GradientSum> top_k_sum(Device& device, const CodecOptions& options,
                                       const std::vector<BucketShape>& buckets, int ranks) {
  return std::make_unique<LargestSum>(device, options["density"], buckets, ranks);
}

}  // namespace foretrain::trainer
