// What kernels read and write: a run of numbers of one type in a device's memory, not owned.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace foretrain::trainer {

enum class Type : std::uint8_t { fp32, bf16, fp16, int8, int32 };

[[nodiscard]] constexpr std::size_t size_of(Type type) {
  switch (type) {
    case Type::fp32:
    case Type::int32:
      return 4;
    case Type::bf16:
    case Type::fp16:
      return 2;
    case Type::int8:
      return 1;
  }
  return 0;
}

/// Row-major where it is a matrix; comments give the shape.
struct Tensor {
  void* data = nullptr;
  std::int64_t count = 0;
  Type type = Type::fp32;

  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(count) * size_of(type);
  }
  /// `length` numbers from `first` on. REQUIRES: they are within.
  [[nodiscard]] Tensor part(std::int64_t first, std::int64_t length) const {
    return {static_cast<std::byte*>(data) + static_cast<std::size_t>(first) * size_of(type), length,
            type};
  }
  /// REQUIRES: the data are in the host's memory, and of that type.
  template <class Number>
  [[nodiscard]] Number* as() const {
    return static_cast<Number*>(data);
  }
};

}  // namespace foretrain::trainer
