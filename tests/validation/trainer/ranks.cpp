// SPDX-License-Identifier: Apache-2.0
#include "tests/validation/trainer/ranks.hpp"

#include <atomic>
#include <exception>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <unistd.h>

#include "validation/trainer/cpu/gloo_world.hpp"

namespace foretrain::testing {
namespace {

namespace fs = std::filesystem;
using namespace trainer;

// A directory of its own for each world, gone at the end.
class MeetingPlace {
 public:
  MeetingPlace() {
    static std::atomic<int> count = 0;
    path_ = fs::temp_directory_path() /
            ("foretrain-ranks-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    fs::create_directory(path_);
  }
  ~MeetingPlace() { fs::remove_all(path_); }
  MeetingPlace(const MeetingPlace&) = delete;
  MeetingPlace& operator=(const MeetingPlace&) = delete;
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

}  // namespace

Memory RankOfTest::upload(const std::vector<float>& numbers) const {
  Memory memory =
      device.allocate(static_cast<std::int64_t>(numbers.size()), Type::fp32, MemoryClass::buffers);
  device.upload(memory, numbers.data());
  return memory;
}

std::vector<float> RankOfTest::download(const Tensor& tensor) {
  return {tensor.as<float>(), tensor.as<float>() + tensor.count};
}

std::unique_ptr<Communicator> RankOfTest::all(const std::string& name) const {
  std::vector<int> ranks(static_cast<std::size_t>(world.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return world.group(ranks, name);
}

std::vector<std::vector<float>> run_ranks(
    int size, const std::function<std::vector<float>(RankOfTest&)>& body,
    std::chrono::milliseconds timeout) {
  const MeetingPlace place;
  std::vector<std::vector<float>> results(static_cast<std::size_t>(size));
  std::vector<std::exception_ptr> failures(results.size());
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      const auto at = static_cast<std::size_t>(r);
      try {
        const std::unique_ptr<Device> device = cpu_device();
        const std::unique_ptr<World> world =
            gloo_world({r, size, place.path(), ""}, *device, timeout);
        RankOfTest rank{*device, *world};
        results[at] = body(rank);
      } catch (...) {
        failures[at] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure != nullptr) {
      std::rethrow_exception(failure);
    }
  }
  return results;
}

}  // namespace foretrain::testing
