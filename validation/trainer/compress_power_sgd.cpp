// PowerSGD (Vogels et al. 2019, algorithms 1 and 2): thin factors of every matrix, with what they
// miss added to the next step's gradient, and the right factor where the next step starts.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>

#include "sim/core/random.hpp"
#include "validation/trainer/compress_methods.hpp"

namespace foretrain::trainer {
namespace {

// Legend: M [n, m] = gradient and error of a matrix, P [n, r] and Q [m, r] = its factors, v = the
// numbers of a bucket's vectors. All P of a bucket, then its vectors, are one all-reduce; all Q are
// another.

constexpr std::uint64_t kSeed = 1;
// A column of Q that becomes zero would stay so: of the first, random Q this much comes back. It is
// small beside gradients, and P is made orthonormal whatever its size.
constexpr float kRevived = 1e-8F;

struct Matrix {
  BucketPart part;
  std::int64_t rank = 1;
  std::int64_t left = 0;   ///< of P, in the memory of all
  std::int64_t right = 0;  ///< of Q, in that of the bucket
};

struct Factored {
  std::vector<Matrix> matrices;
  std::vector<BucketPart> vectors;
  std::int64_t left = 0;   ///< numbers of all P
  std::int64_t sent = 0;   ///< and of the vectors
  std::int64_t right = 0;  ///< numbers of all Q
  Memory error;            ///< M, until what the factors hold is taken out
  Memory factor;           ///< all Q
  Memory first;            ///< all Q at the start
};

Factored layout_of(const BucketShape& bucket, std::int64_t rank) {
  Factored layout;
  for (const BucketPart& part : bucket.parts) {
    if (!part.is_matrix()) {
      layout.vectors.push_back(part);
      continue;
    }
    const std::int64_t r = std::min({rank, part.rows, part.columns});
    layout.matrices.push_back({part, r, layout.left, layout.right});
    layout.left += part.rows * r;
    layout.right += part.columns * r;
  }
  layout.sent = layout.left;
  for (const BucketPart& vector : layout.vectors) {
    layout.sent += vector.count();
  }
  return layout;
}

// Normal numbers by Box and Muller, the same on all ranks.
std::vector<float> random_factor(std::int64_t count, std::uint64_t bucket) {
  const auto uniform = [bucket](std::uint64_t i, std::uint64_t which) {
    constexpr double kWords = 18446744073709551616.0;  // 2^64
    return (static_cast<double>(random_word({kSeed, bucket, i, which})) + 1) / (kWords + 2);
  };
  std::vector<float> numbers(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform(i, 0)));
    numbers[i] = static_cast<float>(radius * std::cos(2 * std::numbers::pi * uniform(i, 1)));
  }
  return numbers;
}

class FactorSum final : public GradientSum {
 public:
  FactorSum(Device& device, std::int64_t rank, const std::vector<BucketShape>& buckets, int ranks)
      : device_(device), share_(1.0F / static_cast<float>(ranks)) {
    std::int64_t most = 0;
    buckets_.reserve(buckets.size());
    for (const BucketShape& bucket : buckets) {
      Factored layout = layout_of(bucket, rank);
      layout.error = buffer(bucket.count);
      layout.factor = buffer(layout.right);
      layout.first = buffer(layout.right);
      if (layout.right > 0) {
        const std::vector<float> start = random_factor(layout.right, buckets_.size());
        device.upload(layout.factor, start.data());
        device.upload(layout.first, start.data());
      }
      most = std::max(most, layout.sent);
      buckets_.push_back(std::move(layout));
    }
    left_ = buffer(most);
  }

  void all_reduce(Stream stream, std::size_t bucket, const Tensor& gradient,
                  Communicator& group) override {
    const Factored& b = buckets_[bucket];
    const Tensor sent = left_.tensor().part(0, b.sent);
    {
      const SpanScope span(device_, stream, "encode");
      encode_left(stream, b, gradient);
    }
    {
      const SpanScope span(device_, stream, "exchange");
      group.all_reduce(stream, sent, Reduction::sum);
    }
    {
      const SpanScope span(device_, stream, "encode");
      encode_right(stream, b);
    }
    if (b.right > 0) {
      const SpanScope span(device_, stream, "exchange");
      group.all_reduce(stream, b.factor, Reduction::sum);
    }
    const SpanScope span(device_, stream, "decode");
    decode(stream, b, gradient);
  }

 private:
  [[nodiscard]] Memory buffer(std::int64_t count) {
    return count == 0 ? Memory() : device_.allocate(count, Type::fp32, MemoryClass::buffers);
  }
  static Tensor of(const Tensor& bucket, const BucketPart& part) {
    return bucket.part(part.first, part.count());
  }
  [[nodiscard]] Tensor left(const Matrix& m) const {
    return left_.tensor().part(m.left, m.part.rows * m.rank);
  }
  static Tensor right(const Factored& b, const Matrix& m) {
    return b.factor.tensor().part(m.right, m.part.columns * m.rank);
  }

  // P = M Q.
  void encode_left(Stream stream, const Factored& b, const Tensor& gradient) {
    if (b.right > 0) {
      device_.accumulate(stream, b.factor, b.first, kRevived);
    }
    for (const Matrix& m : b.matrices) {
      const Tensor matrix = of(b.error, m.part);
      device_.accumulate(stream, matrix, of(gradient, m.part), 1);
      device_.linear_input_gradient(stream, left(m), matrix, right(b, m), m.part.columns, m.rank);
    }
    copy_vectors(b, [&](const Tensor& sent, const BucketPart& vector) {
      device_.copy(stream, sent, of(gradient, vector));
    });
  }
  // Q = M^T P.
  void encode_right(Stream stream, const Factored& b) {
    for (const Matrix& m : b.matrices) {
      device_.orthogonalize(stream, left(m), m.part.rows, m.rank);
      device_.linear_weight_gradient(stream, right(b, m), of(b.error, m.part), left(m),
                                     m.part.columns, m.rank, false);
    }
  }
  // The sum is P Q^T; each rank keeps its share of what that misses.
  void decode(Stream stream, const Factored& b, const Tensor& gradient) {
    for (const Matrix& m : b.matrices) {
      const Tensor sum = of(gradient, m.part);
      device_.linear(stream, sum, left(m), right(b, m), Tensor{}, m.part.columns, m.rank);
      device_.accumulate(stream, of(b.error, m.part), sum, -share_);
    }
    copy_vectors(b, [&](const Tensor& sent, const BucketPart& vector) {
      device_.copy(stream, of(gradient, vector), sent);
    });
  }
  template <class Copy>
  void copy_vectors(const Factored& b, Copy copy) {
    std::int64_t first = b.left;
    for (const BucketPart& vector : b.vectors) {
      copy(left_.tensor().part(first, vector.count()), vector);
      first += vector.count();
    }
  }

  Device& device_;
  float share_;
  std::vector<Factored> buckets_;
  Memory left_;  // all P of a bucket, and its vectors
};

}  // namespace

std::unique_ptr<GradientSum> power_sgd_sum(Device& device, const CodecOptions& options,
                                           const std::vector<BucketShape>& buckets, int ranks) {
  return std::make_unique<FactorSum>(device, static_cast<std::int64_t>(options["rank"]), buckets,
                                     ranks);
}

}  // namespace foretrain::trainer
