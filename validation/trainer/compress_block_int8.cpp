// Sums of int8 blocks by owners: every rank gets all codes of its part, decodes and adds them, and
// hands the sum round in code.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "validation/trainer/compress_methods.hpp"

namespace foretrain::trainer {
namespace {

// Legend: R ranks; a part is what one of them owns, in whole blocks; the last parts may be short or
// empty. The code of a part: its codes (int8), then its scales (fp32).

constexpr std::int64_t kScaleBytes = 4;  // fp32, and where such numbers may begin

std::int64_t up_to(std::int64_t number, std::int64_t multiple) {
  return (number + multiple - 1) / multiple * multiple;
}

class BlockSum final : public GradientSum {
 public:
  BlockSum(Device& device, std::int64_t block, std::int64_t most, int ranks)
      : device_(device),
        block_(block),
        ranks_(ranks),
        sent_(device.allocate(ranks * code_bytes(most), Type::int8, MemoryClass::buffers)),
        received_(device.allocate(ranks * code_bytes(most), Type::int8, MemoryClass::buffers)) {}

  void all_reduce(Stream stream, std::size_t, const Tensor& gradient,
                  Communicator& group) override {
    const std::int64_t code = code_bytes(gradient.count);
    const Tensor sent = sent_.tensor().part(0, ranks_ * code);
    const Tensor received = received_.tensor().part(0, ranks_ * code);
    {
      const SpanScope span(device_, stream, "encode");
      for (int rank = 0; rank < ranks_; ++rank) {
        encode(stream, sent.part(rank * code, code), part_of(gradient, rank));
      }
    }
    {
      const SpanScope span(device_, stream, "exchange");
      group.all_to_all(stream, received, sent);
    }
    const Tensor own = part_of(gradient, group.rank());
    {
      const SpanScope span(device_, stream, "decode");
      for (int rank = 0; rank < ranks_; ++rank) {
        decode(stream, own, received.part(rank * code, code), rank > 0);
      }
    }
    const Tensor own_code = received.part(group.rank() * code, code);
    {
      const SpanScope span(device_, stream, "encode");
      encode(stream, own_code, own);
    }
    {
      const SpanScope span(device_, stream, "exchange");
      group.all_gather(stream, received, own_code);
    }
    const SpanScope span(device_, stream, "decode");
    for (int rank = 0; rank < ranks_; ++rank) {
      decode(stream, part_of(gradient, rank), received.part(rank * code, code), false);
    }
  }

 private:
  struct Code {
    Tensor codes;
    Tensor scales;
  };

  [[nodiscard]] std::int64_t part_count(std::int64_t count) const {
    return up_to(count, ranks_ * block_) / ranks_;
  }
  [[nodiscard]] std::int64_t code_bytes(std::int64_t count) const {
    const std::int64_t part = part_count(count);
    return up_to(part, kScaleBytes) + part / block_ * kScaleBytes;
  }
  [[nodiscard]] Tensor part_of(const Tensor& gradient, std::int64_t rank) const {
    const std::int64_t part = part_count(gradient.count);
    const std::int64_t first = std::min(rank * part, gradient.count);
    return gradient.part(first, std::min(part, gradient.count - first));
  }
  // The code of `count` numbers at the start of a part's.
  [[nodiscard]] Code split(const Tensor& code, std::int64_t count) const {
    // Of the bytes, block in block_ + 4 are codes and scales of a block, up to alignment.
    const std::int64_t blocks = code.count / (block_ + kScaleBytes);
    const Tensor scales = code.part(code.count - blocks * kScaleBytes, 0);
    return {code.part(0, count), {scales.data, (count + block_ - 1) / block_, Type::fp32}};
  }

  void encode(Stream stream, const Tensor& code, const Tensor& part) {
    if (part.count > 0) {
      const Code to = split(code, part.count);
      device_.quantize(stream, to.codes, to.scales, part, block_);
    }
  }
  void decode(Stream stream, const Tensor& part, const Tensor& code, bool accumulate) {
    if (part.count > 0) {
      const Code from = split(code, part.count);
      device_.dequantize(stream, part, from.codes, from.scales, block_, accumulate);
    }
  }

  Device& device_;
  std::int64_t block_;
  std::int64_t ranks_;
  Memory sent_;
  Memory received_;
};

}  // namespace

std::unique_ptr<GradientSum> block_int8_sum(Device& device, const CodecOptions& options,
                                            const std::vector<BucketShape>& buckets, int ranks) {
  return std::make_unique<BlockSum>(device, static_cast<std::int64_t>(options["block"]),
                                    largest_count(buckets), ranks);
}

}  // namespace foretrain::trainer
