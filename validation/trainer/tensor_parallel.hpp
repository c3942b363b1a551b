// Sums over the ranks that share the layers' matrices (Shoeybi et al. 2019): each has a part of
// every inner product, and all of them the residual stream.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "validation/trainer/communicator.hpp"

namespace foretrain::trainer {

class TensorParallel {
 public:
  /// With `overlaps`, sums of backward travel on a stream of their own until finish_sum().
  TensorParallel(Device& device, Communicator& group, bool overlaps)
      : device_(device), group_(group) {
    if (overlaps && group.size() > 1) {
      stream_ = device.add_stream("tensor");
    }
  }

  [[nodiscard]] int rank() const { return group_.rank(); }
  [[nodiscard]] int size() const { return group_.size(); }

  void reduce(const Tensor& tensor, Reduction reduction = Reduction::sum) {
    if (group_.size() > 1) {
      const SpanScope span(device_, kCompute, "tensor all-reduce");
      group_.all_reduce(kCompute, tensor, reduction);
    }
  }

  /// Between the two, compute does not touch the tensor.
  void start_sum(const Tensor& tensor) {
    if (stream_ == kCompute) {
      reduce(tensor);
      return;
    }
    device_.wait(stream_, device_.record(kCompute));
    const SpanScope span(device_, stream_, "tensor all-reduce");
    group_.all_reduce(stream_, tensor, Reduction::sum);
  }
  void finish_sum() {
    if (stream_ != kCompute) {
      device_.wait(kCompute, device_.record(stream_));
    }
  }

 private:
  Device& device_;
  Communicator& group_;
  Stream stream_ = kCompute;
};

}  // namespace foretrain::trainer
