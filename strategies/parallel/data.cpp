// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/data.hpp"

namespace foretrain {

DataParallel::DataParallel(const Run& run, BodyWriter& writer) : run_(run), writer_(writer) {
  if (run.stack.overlap_gradients && run.data_parallel() > 1) {
    stream_ = writer.add_stream("data");
  }
}

void DataParallel::gradients_ready(std::int64_t parameters) {
  pending_ += parameters;
  const bool is_bucket_full =
      static_cast<double>(pending_) * run_.stack.gradient_size() >= run_.stack.bucket.value;
  if (stream_ != kCompute && is_bucket_full) {
    writer_.wait(stream_, writer_.record(kCompute));
    reduce(stream_);
  }
}

void DataParallel::finish_gradients() {
  if (stream_ == kCompute) {
    reduce(kCompute);
    return;
  }
  if (pending_ > 0) {
    writer_.wait(stream_, writer_.record(kCompute));
    reduce(stream_);
  }
  writer_.wait(kCompute, writer_.record(stream_));
}

// ZeRO-1 needs the sum of its own shard only: a reduce-scatter moves half of an all-reduce
// (Rajbhandari et al. 2020, section 7.1).
void DataParallel::reduce(StreamIndex stream) {
  if (run_.data_parallel() == 1) {
    return;
  }
  const bool is_sharded = run_.parallel.zero >= 1;
  const Bytes payload =
      static_cast<double>(std::exchange(pending_, 0)) * run_.stack.gradient_size();
  writer_.op(stream, is_sharded ? "gradient reduce-scatter" : "gradient all-reduce",
             Collective{is_sharded ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce,
                        kDataGroup, payload});
}

void DataParallel::gather_parameters(std::int64_t parameters) {
  if (run_.data_parallel() == 1 || run_.parallel.zero == 0) {
    return;
  }
  const Bytes payload = static_cast<double>(parameters) * size_of(run_.training.precision);
  writer_.op(kCompute, "parameter all-gather",
             Collective{CollectiveKind::all_gather, kDataGroup, payload});
}

}  // namespace foretrain
