// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/data_parallel.hpp"

#include <algorithm>
#include <utility>

namespace foretrain::trainer {
namespace {

// Shards begin at multiples of 16 bytes in any type, as matrix kernels want it.
constexpr std::int64_t kAlignment = 16;

std::int64_t padded(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// The units that a step enters: forward and backward, of every micro-batch. Backward of the
// embedding needs no parameters.
std::vector<std::size_t> visits_of_step(std::size_t units, std::int64_t micro_batches) {
  std::vector<std::size_t> visits;
  for (std::int64_t i = 0; i < micro_batches; ++i) {
    for (std::size_t unit = 0; unit < units; ++unit) {
      visits.push_back(unit);
    }
    for (std::size_t unit = units; unit-- > 1;) {
      visits.push_back(unit);
    }
  }
  return visits;
}

std::vector<BucketShape> shapes_of(const std::vector<Bucket>& buckets,
                                   const std::vector<Unit>& units) {
  std::vector<BucketShape> shapes;
  shapes.reserve(buckets.size());
  for (const Bucket& bucket : buckets) {
    BucketShape shape{bucket.count, {}};
    std::int64_t first = 0;
    for (const std::size_t unit : bucket.units) {
      for (const Parameter& parameter : units[unit].parameters) {
        const bool is_matrix = parameter.rows > 1 && parameter.columns > 1;
        shape.parts.push_back({first + parameter.first, is_matrix ? parameter.rows : 1,
                               is_matrix ? parameter.columns : parameter.count()});
      }
      first += units[unit].count;
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

double bucket_bytes(const Plan& plan) {
  if (plan.zero() == 3 && !plan.sharding.gradient_bucket) {
    return 0;
  }
  return plan.sharding.gradient_bucket.value_or(plan.stack.bucket.value).value;
}

}  // namespace

std::vector<Bucket> buckets_of(const std::vector<Unit>& units, double bytes, int shards) {
  std::vector<Bucket> buckets(1);
  std::int64_t first = 0;
  for (std::size_t unit = units.size(); unit-- > 0;) {
    Bucket& bucket = buckets.back();
    bucket.units.push_back(unit);
    bucket.count += units[unit].count;
    if (static_cast<double>(bucket.count) * sizeof(float) >= bytes || unit == 0) {
      bucket.first = first;
      bucket.count = padded(bucket.count, kAlignment * shards);
      first += bucket.count;
      if (unit > 0) {
        buckets.emplace_back();
      }
    }
  }
  return buckets;
}

DataParallel::DataParallel(Device& device, const Plan& plan, const Place& place,
                           std::vector<Unit> units, Communicator& gradient_group,
                           Communicator& parameter_group, std::uint64_t seed)
    : device_(device),
      plan_(plan),
      gradient_group_(gradient_group),
      parameter_group_(parameter_group),
      units_(std::move(units)),
      shards_(plan.zero() == 0 ? 1 : gradient_group.size()),
      shard_rank_(plan.zero() == 0 ? 0 : gradient_group.rank()),
      data_rank_(gradient_group.rank()) {
  buckets_ = buckets_of(units_, bucket_bytes(plan), shards_);
  bucket_of_.resize(units_.size());
  first_of_.resize(units_.size());
  for (std::size_t index = 0; index < buckets_.size(); ++index) {
    std::int64_t first = 0;
    for (const std::size_t unit : buckets_[index].units) {
      bucket_of_[unit] = index;
      first_of_[unit] = first;
      first += units_[unit].count;
    }
  }
  visits_ = visits_of_step(units_.size(), plan.micro_batches());
  const bool is_default = is_fully_sharded() || plan.stack.overlap_gradients;
  overlaps_gradients_ = plan.sharding.overlap_gradients.value_or(is_default);
  if (gradient_group.size() > 1 && overlaps_gradients_) {
    gradient_stream_ = device.add_stream("gradients");
  }
  if (gradient_group.size() > 1 && is_fully_sharded()) {
    parameter_stream_ = device.add_stream("parameters");
  }
  const WireCompression* how = plan.compression.at(WirePlace::gradients);
  sum_ = how == nullptr || gradient_group.size() == 1
             ? plain_sum()
             : compressed_sum(device, *how, shapes_of(buckets_, units_), gradient_group.size());
  allocate();
  set_counted_ranges(place);
  initialize(seed);
}

void DataParallel::allocate() {
  const Type type = device_.activation_type();
  const std::int64_t all = buckets_.back().first + buckets_.back().count;
  const std::int64_t own = all / shards_;
  std::int64_t most = 0;
  for (const Bucket& bucket : buckets_) {
    most = std::max(most, bucket.count);
  }
  parameters_ = device_.allocate(is_fully_sharded() ? own : all, type, MemoryClass::parameters);
  gradients_ =
      device_.allocate(keeps_gradient_shards() ? own : all, Type::fp32, MemoryClass::gradients);
  if (type != Type::fp32) {
    master_ = device_.allocate(own, Type::fp32, MemoryClass::optimizer);
  }
  first_moment_ = device_.allocate(own, Type::fp32, MemoryClass::optimizer);
  second_moment_ = device_.allocate(own, Type::fp32, MemoryClass::optimizer);
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    if (is_fully_sharded()) {
      gathered_[slot] = device_.allocate(most, type, MemoryClass::buffers);
    }
    if (keeps_gradient_shards()) {
      whole_gradient_[slot] = device_.allocate(most, Type::fp32, MemoryClass::buffers);
    }
  }
}

// The host draws every bucket, and keeps of it what is this rank's.
void DataParallel::initialize(std::uint64_t seed) {
  for (const Bucket& bucket : buckets_) {
    std::vector<float> values;
    values.reserve(static_cast<std::size_t>(bucket.count));
    for (const std::size_t unit : bucket.units) {
      const std::vector<float> drawn = initial_values(units_[unit], seed);
      values.insert(values.end(), drawn.begin(), drawn.end());
    }
    values.resize(static_cast<std::size_t>(bucket.count));
    const Memory staged = device_.allocate(bucket.count, Type::fp32, MemoryClass::buffers);
    device_.upload(staged, values.data());
    const Range own = shard_of(bucket);
    const Tensor whole =
        is_fully_sharded() ? Tensor(staged.tensor().part(own.first, own.count)) : staged.tensor();
    const Tensor parameters = is_fully_sharded()
                                  ? shard(parameters_, bucket)
                                  : parameters_.tensor().part(bucket.first, bucket.count);
    device_.copy(kCompute, parameters, whole);
    if (master_.tensor().count > 0) {
      device_.copy(kCompute, shard(master_, bucket), staged.tensor().part(own.first, own.count));
    }
    device_.synchronize();  // before the staged values go
  }
}

// What several ranks hold counts on one of them.
void DataParallel::set_counted_ranges(const Place& place) {
  counted_.resize(buckets_.size());
  for (std::size_t index = 0; index < buckets_.size(); ++index) {
    const Range own = shard_of(buckets_[index]);
    std::vector<Range>& ranges = counted_[index];
    for (const std::size_t unit : buckets_[index].units) {
      for (const Parameter& parameter : units_[unit].parameters) {
        const std::int64_t first = std::max(own.first, first_of_[unit] + parameter.first);
        const std::int64_t end =
            std::min(own.first + own.count, first_of_[unit] + parameter.first + parameter.count());
        if (first >= end || (parameter.is_shared && place.tensor > 0)) {
          continue;
        }
        if (!ranges.empty() && ranges.back().first + ranges.back().count == first - own.first) {
          ranges.back().count += end - first;
        } else {
          ranges.push_back({first - own.first, end - first});
        }
      }
    }
  }
}

DataParallel::Range DataParallel::shard_of(const Bucket& bucket) const {
  const std::int64_t count = bucket.count / shards_;
  return {shard_rank_ * count, count};
}

// In memory that holds the shards of all buckets.
Tensor DataParallel::shard(const Memory& memory, const Bucket& bucket) const {
  return memory.tensor().part(bucket.first / shards_, bucket.count / shards_);
}

Tensor DataParallel::bucket_gradient(std::size_t bucket) const {
  return keeps_gradient_shards()
             ? whole_gradient_[bucket % kSlots].tensor().part(0, buckets_[bucket].count)
             : gradients_.tensor().part(buckets_[bucket].first, buckets_[bucket].count);
}

Tensor DataParallel::own_gradient(const Bucket& bucket) const {
  const Range own = shard_of(bucket);
  return keeps_gradient_shards() ? shard(gradients_, bucket)
                                 : gradients_.tensor().part(bucket.first + own.first, own.count);
}

Tensor DataParallel::own_parameters(const Bucket& bucket) const {
  const Range own = shard_of(bucket);
  return is_fully_sharded() ? shard(parameters_, bucket)
                            : parameters_.tensor().part(bucket.first + own.first, own.count);
}

Tensor DataParallel::parameter(std::size_t unit, std::size_t part) const {
  const Parameter& parameter = units_[unit].parameters[part];
  const Bucket& bucket = buckets_[bucket_of_[unit]];
  const std::int64_t first = first_of_[unit] + parameter.first;
  return is_fully_sharded()
             ? gathered_[(entered_ - 1) % kSlots].tensor().part(first, parameter.count())
             : parameters_.tensor().part(bucket.first + first, parameter.count());
}

Tensor DataParallel::gradient(std::size_t unit, std::size_t part) const {
  const Parameter& parameter = units_[unit].parameters[part];
  return bucket_gradient(bucket_of_[unit])
      .part(first_of_[unit] + parameter.first, parameter.count());
}

void DataParallel::begin_step() {
  entered_ = 0;
  gathers_ = 0;
  device_.clear(kCompute, gradients_);
}

// The buffer was last used by the unit two visits before, which compute has left.
void DataParallel::gather(std::size_t visit) {
  const Bucket& bucket = buckets_[bucket_of_[visits_[visit]]];
  const Tensor whole = gathered_[visit % kSlots].tensor().part(0, bucket.count);
  if (parameter_stream_ != kCompute) {
    device_.wait(parameter_stream_, device_.record(kCompute));
  }
  const SpanScope span(device_, parameter_stream_, "parameter all-gather");
  parameter_group_.all_gather(parameter_stream_, whole, own_parameters(bucket));
  is_gathered_[visit % kSlots] = device_.record(parameter_stream_);
  ++gathers_;
}

void DataParallel::enter(std::size_t) {
  const std::size_t visit = entered_++;
  if (!is_fully_sharded()) {
    return;
  }
  if (gathers_ == visit) {
    gather(visit);
  }
  device_.wait(kCompute, is_gathered_[visit % kSlots]);
  if (visit + 1 < visits_.size()) {
    gather(visit + 1);
  }
}

// ZeRO-2 and -3: the first unit of a bucket finds the buffer cleared of the bucket before last.
void DataParallel::enter_backward(std::size_t unit) {
  const std::size_t bucket = bucket_of_[unit];
  if (!keeps_gradient_shards() || buckets_[bucket].units.front() != unit) {
    return;
  }
  if (was_reduced_[bucket % kSlots]) {
    device_.wait(kCompute, is_reduced_[bucket % kSlots]);
  }
  device_.clear(kCompute, bucket_gradient(bucket));
}

void DataParallel::gradients_ready(std::size_t unit, bool is_last_micro_batch) {
  const std::size_t bucket = bucket_of_[unit];
  const bool is_complete = buckets_[bucket].units.back() == unit;
  if (!is_complete || (!is_last_micro_batch && !keeps_gradient_shards())) {
    return;
  }
  if (gradient_stream_ == kCompute && !keeps_gradient_shards()) {
    pending_.push_back(bucket);
  } else {
    reduce(bucket, gradient_stream_);
  }
}

void DataParallel::reduce(std::size_t bucket, Stream stream) {
  if (stream != kCompute) {
    device_.wait(stream, device_.record(kCompute));
  }
  const Tensor whole = bucket_gradient(bucket);
  if (plan_.zero() == 0) {
    const SpanScope span(device_, stream, "gradient all-reduce");
    sum_->all_reduce(stream, bucket, whole, gradient_group_);
    return;
  }
  const Range own = shard_of(buckets_[bucket]);
  const Tensor part = whole.part(own.first, own.count);
  {
    const SpanScope span(device_, stream, "gradient reduce-scatter");
    gradient_group_.reduce_scatter(stream, part, whole);
  }
  if (keeps_gradient_shards()) {
    device_.accumulate(stream, own_gradient(buckets_[bucket]), part, 1);
    is_reduced_[bucket % kSlots] = device_.record(stream);
    was_reduced_[bucket % kSlots] = true;
  }
}

void DataParallel::finish_gradients() {
  for (const std::size_t bucket : std::exchange(pending_, {})) {
    reduce(bucket, kCompute);
  }
  if (gradient_stream_ != kCompute) {
    device_.wait(kCompute, device_.record(gradient_stream_));
  }
}

void DataParallel::add_sum_of_squares(const Tensor& sum) {
  for (std::size_t index = 0; index < buckets_.size(); ++index) {
    const Tensor own = own_gradient(buckets_[index]);
    for (const Range& range : counted_[index]) {
      device_.add_sum_of_squares(sum, own.part(range.first, range.count));
    }
  }
  if (plan_.zero() == 0 && data_rank_ > 0) {
    device_.clear(kCompute, sum);
  }
}

void DataParallel::update(const AdamW& how) {
  for (const Bucket& bucket : buckets_) {
    const Tensor parameters = own_parameters(bucket);
    const Tensor master = master_.tensor().count > 0 ? shard(master_, bucket) : parameters;
    const SpanScope span(device_, kCompute, "optimizer");
    device_.adamw(parameters, master, shard(first_moment_, bucket), shard(second_moment_, bucket),
                  own_gradient(bucket), how);
  }
  if (plan_.zero() == 1 || plan_.zero() == 2) {
    const SpanScope span(device_, kCompute, "parameter all-gather");
    for (const Bucket& bucket : buckets_) {
      parameter_group_.all_gather(kCompute, parameters_.tensor().part(bucket.first, bucket.count),
                                  own_parameters(bucket));
    }
  }
}

}  // namespace foretrain::trainer
