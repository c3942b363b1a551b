// SPDX-License-Identifier: Apache-2.0
// The fibers and what they wait for.
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <ucontext.h>
#include <vector>

#include "tests/validation/trainer/cuda/emulation/emulation.hpp"

uint3 threadIdx{};
uint3 blockIdx{};
dim3 blockDim{};
dim3 gridDim{};

namespace emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kStackBytes = std::size_t{128} << 10;

// An operation that a number of threads come to together, again and again. What they bring to one
// is kept until all have come to the next.
struct Meeting {
  std::size_t members = 0;
  std::size_t present = 0;
  std::uint64_t generation = 0;
  Deposit deposits[2][kWarp] = {};
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  uint3 index{};
  const Meeting* meeting = nullptr;  // waits until it goes on from `generation`
  std::uint64_t generation = 0;
  bool is_done = false;

  [[nodiscard]] bool can_run() const {
    return !is_done && (meeting == nullptr || meeting->generation != generation);
  }
};

class Block {
 public:
  void run(dim3 threads, std::size_t dynamic_bytes, const std::function<void()>& kernel) {
    kernel_ = &kernel;
    error_ = nullptr;
    dynamic_.assign(dynamic_bytes / sizeof(uint4) + 1, uint4{~0U, ~0U, ~0U, ~0U});
    start(threads);
    while (left_ > 0) {
      bool has_moved = false;
      for (std::size_t first = 0; first < order_.size(); first += kWarp) {
        while (run_warp(first)) {
          has_moved = true;
          if (!is_hasty()) {
            break;
          }
        }
      }
      if (error_ != nullptr) {
        std::rethrow_exception(error_);
      }
      if (!has_moved && left_ > 0) {
        throw std::runtime_error("threads of a block wait for one another for ever");
      }
    }
  }

  // Called by a fiber.
  void meet(Meeting& meeting) {
    Fiber& self = fibers_[current_];
    if (++meeting.present == meeting.members) {
      meeting.present = 0;
      ++meeting.generation;
      return;
    }
    self.meeting = &meeting;
    self.generation = meeting.generation;
    swapcontext(&self.context, &scheduler_);
    self.meeting = nullptr;
  }

  void barrier() { meet(all_); }

  const Deposit* exchange(const Deposit& mine) {
    Meeting& warp = warps_[current_ / kWarp];
    if (warp.members != kWarp) {
      throw std::runtime_error("an operation of a warp that has lost lanes");
    }
    Deposit* deposits = warp.deposits[warp.generation % 2];
    std::copy(std::begin(mine), std::end(mine), std::begin(deposits[current_ % kWarp]));
    meet(warp);
    return deposits;
  }

  [[nodiscard]] unsigned lane() const { return static_cast<unsigned>(current_ % kWarp); }
  [[nodiscard]] uint4* dynamic() { return dynamic_.data(); }
  void set_order(unsigned seed) { seed_ = seed; }

 private:
  static void enter();

  // Whether a warp goes as far as it can before the next one runs; else they take turns.
  [[nodiscard]] bool is_hasty() const { return seed_ % 2 == 1; }

  // Runs the lanes of a warp that can run, each until it waits. False: none could.
  bool run_warp(std::size_t first) {
    bool has_moved = false;
    for (std::size_t i = first; i < std::min<std::size_t>(first + kWarp, order_.size()); ++i) {
      if (fibers_[order_[i]].can_run()) {
        has_moved = true;
        resume(order_[i]);
      }
    }
    return has_moved;
  }

  void start(dim3 threads) {
    fibers_in_use_ = std::size_t{threads.x} * threads.y * threads.z;
    if (fibers_in_use_ == 0 || fibers_in_use_ > 1024) {
      throw std::runtime_error("a block has 1 to 1024 threads");
    }
    while (fibers_.size() < fibers_in_use_) {
      fibers_.emplace_back().stack = std::make_unique<char[]>(kStackBytes);
    }
    left_ = fibers_in_use_;
    all_ = Meeting{};
    all_.members = fibers_in_use_;
    warps_.assign((fibers_in_use_ + kWarp - 1) / kWarp, Meeting{});
    for (std::size_t i = 0; i < fibers_in_use_; ++i) {
      Fiber& fiber = fibers_[i];
      const auto at = static_cast<unsigned>(i);
      fiber.index = {at % threads.x, at / threads.x % threads.y, at / threads.x / threads.y};
      fiber.meeting = nullptr;
      fiber.is_done = false;
      ++warps_[i / kWarp].members;
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = kStackBytes;
      fiber.context.uc_link = &scheduler_;
      makecontext(&fiber.context, enter, 0);
    }
    order_.resize(fibers_in_use_);
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (seed_ == 1) {
      std::reverse(order_.begin(), order_.end());
    } else if (seed_ > 1) {
      shuffle();
    }
  }

  // The warps, and the lanes of each.
  void shuffle() {
    std::mt19937 random(seed_);
    std::vector<std::size_t> warps(warps_.size());
    std::iota(warps.begin(), warps.end(), std::size_t{0});
    std::shuffle(warps.begin(), warps.end(), random);
    order_.clear();
    for (const std::size_t warp : warps) {
      const auto first = static_cast<std::ptrdiff_t>(order_.size());
      for (std::size_t i = warp * kWarp;
           i < std::min<std::size_t>((warp + 1) * kWarp, fibers_in_use_); ++i) {
        order_.push_back(i);
      }
      std::shuffle(order_.begin() + first, order_.end(), random);
    }
  }

  void resume(std::size_t i) {
    current_ = i;
    threadIdx = fibers_[i].index;
    swapcontext(&scheduler_, &fibers_[i].context);
  }

  // A thread that is done no longer counts: the others may have waited for it alone.
  void leave() {
    fibers_[current_].is_done = true;
    --left_;
    --warps_[current_ / kWarp].members;
    --all_.members;
    if (all_.members > 0 && all_.present == all_.members) {
      all_.present = 0;
      ++all_.generation;
    }
  }

  const std::function<void()>* kernel_ = nullptr;
  std::exception_ptr error_;
  std::vector<Fiber> fibers_;
  std::size_t fibers_in_use_ = 0;
  std::size_t left_ = 0;  // that are not done
  std::vector<std::size_t> order_;
  std::size_t current_ = 0;
  ucontext_t scheduler_{};
  Meeting all_;
  std::vector<Meeting> warps_;
  std::vector<uint4> dynamic_;
  unsigned seed_ = 0;
};

Block& block() {
  static Block the_block;
  return the_block;
}

void Block::enter() {
  Block& self = block();
  try {
    (*self.kernel_)();
  } catch (...) {
    self.error_ = std::current_exception();
  }
  self.leave();
}

float bf16_at(std::uint64_t pair, unsigned which) {
  const auto bits = static_cast<std::uint32_t>(pair >> (16 * which) & 0xFFFF) << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace

void set_order(unsigned seed) { block().set_order(seed); }
uint4* dynamic_shared() { return block().dynamic(); }
const Deposit* exchange(const Deposit& mine) { return block().exchange(mine); }
unsigned lane() { return block().lane(); }

void run(std::int64_t blocks, dim3 threads, std::size_t dynamic_bytes,
         const std::function<void()>& kernel) {
  blockDim = threads;
  gridDim = dim3(static_cast<unsigned>(blocks));
  for (std::int64_t i = 0; i < blocks; ++i) {
    blockIdx = {static_cast<unsigned>(i), 0, 0};
    block().run(threads, dynamic_bytes, kernel);
  }
}

void load_matrices(std::uint32_t (&out)[4], const __nv_bfloat16* row, bool is_transposed) {
  Deposit mine{};
  std::memcpy(&mine[0], static_cast<const void*>(row), 16);  // eight numbers: the row
  const Deposit* all = exchange(mine);
  const unsigned self = lane();
  const auto element = [all](unsigned matrix, unsigned r, unsigned c) {
    const std::uint64_t four = all[matrix * 8 + r][c / 4];
    return static_cast<std::uint32_t>(four >> (16 * (c % 4)) & 0xFFFF);
  };
  for (unsigned m = 0; m < 4; ++m) {
    const unsigned r = self / 4;
    const unsigned c = self % 4 * 2;
    const std::uint32_t low = is_transposed ? element(m, c, r) : element(m, r, c);
    const std::uint32_t high = is_transposed ? element(m, c + 1, r) : element(m, r, c + 1);
    out[m] = low | high << 16;
  }
}

void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  const Deposit mine = {a[0], a[1], a[2], a[3], b0, b1};
  const Deposit* all = exchange(mine);
  const unsigned self = lane();
  for (unsigned j = 0; j < 4; ++j) {
    const unsigned row = self / 4 + j / 2 * 8;
    const unsigned column = self % 4 * 2 + j % 2;
    for (unsigned k = 0; k < 16; ++k) {
      // a: registers by row half, then column half; b: by row half.
      const float left = bf16_at(all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2);
      const float right = bf16_at(all[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
      c[j] += left * right;
    }
  }
}

}  // namespace emulation

void __syncthreads() { emulation::block().barrier(); }
