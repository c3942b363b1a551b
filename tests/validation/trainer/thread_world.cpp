// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/thread_world.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>

#include <Eigen/Core>

namespace foretrain::testing {
namespace {

using trainer::Reduction;
using trainer::Stream;
using trainer::Tensor;
using trainer::Type;

float number_at(const Tensor& tensor, std::int64_t index) {
  if (tensor.type == Type::fp16) {
    return static_cast<float>(tensor.as<Eigen::half>()[index]);
  }
  if (tensor.type != Type::fp32) {
    throw std::runtime_error("threads reduce fp32 and fp16");
  }
  return tensor.as<float>()[index];
}

void set_number(const Tensor& tensor, std::int64_t index, float value) {
  if (tensor.type == Type::fp16) {
    tensor.as<Eigen::half>()[index] = Eigen::half(value);
  } else {
    tensor.as<float>()[index] = value;
  }
}

// Entries first ... of all ranks' tensors, reduced in the order of the ranks.
std::vector<float> reduced(const std::vector<Tensor>& shown, std::int64_t first, std::int64_t count,
                           Reduction reduction) {
  std::vector<float> result;
  result.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = first; i < first + count; ++i) {
    float value = number_at(shown.front(), i);
    for (std::size_t rank = 1; rank < shown.size(); ++rank) {
      const float other = number_at(shown[rank], i);
      value = reduction == Reduction::sum ? value + other : std::max(value, other);
    }
    result.push_back(value);
  }
  return result;
}

void assign(const Tensor& tensor, const std::vector<float>& numbers) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    set_number(tensor, static_cast<std::int64_t>(i), numbers[i]);
  }
}

}  // namespace

void ThreadGroup::show(const Tensor& tensor) {
  meeting_.shown[static_cast<std::size_t>(rank())] = tensor;
  meeting_.barrier.arrive_and_wait();
}

void ThreadGroup::all_reduce(Stream, const Tensor& tensor, Reduction reduction) {
  calls_.push_back({CollectiveKind::all_reduce, tensor.bytes()});
  show(tensor);
  const std::vector<float> result = reduced(meeting_.shown, 0, tensor.count, reduction);
  meeting_.barrier.arrive_and_wait();
  assign(tensor, result);
}

void ThreadGroup::all_gather(Stream, const Tensor& out, const Tensor& in) {
  calls_.push_back({CollectiveKind::all_gather, out.bytes()});
  show(in);
  for (int rank = 0; rank < size(); ++rank) {
    const Tensor& part = meeting_.shown[static_cast<std::size_t>(rank)];
    std::memmove(out.part(rank * in.count, in.count).data, part.data, part.bytes());
  }
  meeting_.barrier.arrive_and_wait();
}

void ThreadGroup::reduce_scatter(Stream, const Tensor& out, const Tensor& in) {
  calls_.push_back({CollectiveKind::reduce_scatter, in.bytes()});
  show(in);
  const std::vector<float> result =
      reduced(meeting_.shown, rank() * out.count, out.count, Reduction::sum);
  meeting_.barrier.arrive_and_wait();
  assign(out, result);
}

void ThreadGroup::all_to_all(Stream, const Tensor& out, const Tensor& in) {
  calls_.push_back({CollectiveKind::all_to_all, in.bytes()});
  show(in);
  const std::int64_t part = in.count / size();
  for (int from = 0; from < size(); ++from) {
    const Tensor sent = meeting_.shown[static_cast<std::size_t>(from)].part(rank() * part, part);
    std::memcpy(out.part(from * part, part).data, sent.data, sent.bytes());
  }
  meeting_.barrier.arrive_and_wait();
}

void ThreadGroup::send(Stream, const Tensor& tensor, int peer) {
  const auto* first = static_cast<const std::byte*>(tensor.data);
  const std::lock_guard lock(meeting_.mutex);
  meeting_.messages[{rank(), peer}].emplace_back(first, first + tensor.bytes());
  meeting_.arrived.notify_all();
}

void ThreadGroup::receive(Stream, const Tensor& tensor, int peer) {
  std::unique_lock lock(meeting_.mutex);
  auto& queue = meeting_.messages[{peer, rank()}];
  meeting_.arrived.wait(lock, [&] { return !queue.empty(); });
  std::memcpy(tensor.data, queue.front().data(), tensor.bytes());
  queue.pop_front();
}

std::unique_ptr<trainer::Communicator> ThreadWorld::group(const std::vector<int>& ranks,
                                                          const std::string&) {
  if (static_cast<int>(ranks.size()) != size()) {
    throw std::runtime_error("threads meet all together");
  }
  return std::make_unique<ThreadGroup>(rank(), meeting_);
}

double ThreadWorld::maximum(double value) {
  meeting_.numbers[static_cast<std::size_t>(rank())] = value;
  meeting_.barrier.arrive_and_wait();
  const double largest = *std::max_element(meeting_.numbers.begin(), meeting_.numbers.end());
  meeting_.barrier.arrive_and_wait();
  return largest;
}

void on_ranks(int size, const std::function<void(int rank, Meeting& meeting)>& work) {
  Meeting meeting(size);
  std::vector<std::exception_ptr> failures(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  threads.reserve(failures.size());
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        work(rank, meeting);
      } catch (...) {
        failures[static_cast<std::size_t>(rank)] = std::current_exception();
        meeting.barrier.arrive_and_drop();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  }
}

}  // namespace foretrain::testing
