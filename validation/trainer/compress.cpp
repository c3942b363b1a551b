// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/compress.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "validation/trainer/compress_methods.hpp"

namespace foretrain::trainer {
namespace {

struct Method {
  std::string_view name;
  MakeSum make;
};
constexpr std::array<Method, 4> kMethods = {{{"cast", half_sum},
                                             {"block-int8", block_int8_sum},
                                             {"top-k", top_k_sum},
                                             {"power-sgd", power_sgd_sum}}};
constexpr double kFp16 = 1;  // its place among the words of the option `to` of cast

const Method* method_of(const WireCompression& how) {
  const auto* found = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& method) {
    return method.name == how.method->name;
  });
  return found == kMethods.end() ? nullptr : found;
}

class PlainSum final : public GradientSum {
 public:
  void all_reduce(Stream stream, std::size_t, const Tensor& gradient,
                  Communicator& group) override {
    group.all_reduce(stream, gradient, Reduction::sum);
  }
};

class HalfSum final : public GradientSum {
 public:
  HalfSum(Device& device, std::int64_t most)
      : device_(device), half_(device.allocate(most, Type::fp16, MemoryClass::buffers)) {}

  void all_reduce(Stream stream, std::size_t, const Tensor& gradient,
                  Communicator& group) override {
    const Tensor half = half_.tensor().part(0, gradient.count);
    {
      const SpanScope span(device_, stream, "encode");
      device_.copy(stream, half, gradient);
    }
    {
      const SpanScope span(device_, stream, "exchange");
      group.all_reduce(stream, half, Reduction::sum);
    }
    const SpanScope span(device_, stream, "decode");
    device_.copy(stream, gradient, half);
  }

 private:
  Device& device_;
  Memory half_;
};

}  // namespace

std::int64_t largest_count(const std::vector<BucketShape>& buckets) {
  std::int64_t largest = 0;
  for (const BucketShape& bucket : buckets) {
    largest = std::max(largest, bucket.count);
  }
  return largest;
}

std::unique_ptr<GradientSum> half_sum(Device& device, const CodecOptions&,
                                      const std::vector<BucketShape>& buckets, int) {
  return std::make_unique<HalfSum>(device, largest_count(buckets));
}

std::unique_ptr<GradientSum> plain_sum() { return std::make_unique<PlainSum>(); }

std::optional<std::string> refuse(const WireCompression& how) {
  if (method_of(how) == nullptr) {
    std::string names;
    for (const Method& method : kMethods) {
      names += (names.empty() ? "" : ", ") + std::string(method.name);
    }
    return "the trainer has no '" + std::string(how.method->name) + "'; it has " + names;
  }
  if (how.method->name == "cast" && how.options["to"] != kFp16) {
    return "the trainer casts gradients to fp16 only: to = \"fp16\"";
  }
  if (how.between_nodes_only || how.chunks != 1) {
    return "the trainer codes gradients in one piece and between all ranks: leave chunks and "
           "between_nodes_only out";
  }
  return std::nullopt;
}

std::unique_ptr<GradientSum> compressed_sum(Device& device, const WireCompression& how,
                                            const std::vector<BucketShape>& buckets, int ranks) {
  if (const auto reason = refuse(how)) {
    throw std::runtime_error(*reason);
  }
  return method_of(how)->make(device, how.options, buckets, ranks);
}

}  // namespace foretrain::trainer
