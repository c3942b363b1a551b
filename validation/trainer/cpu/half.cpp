// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cpu/half.hpp"

#include <algorithm>

#include <Eigen/Core>
#ifdef __F16C__
#include <immintrin.h>
#endif

namespace foretrain::trainer {
namespace {

constexpr std::int64_t kLanes = 8;

#ifdef __F16C__
void halves_of_eight(std::uint16_t* out, const float* in) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out),
                   _mm256_cvtps_ph(_mm256_loadu_ps(in), _MM_FROUND_TO_NEAREST_INT));
}

void floats_of_eight(float* out, const std::uint16_t* in) {
  _mm256_storeu_ps(out, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in))));
}
#else
void halves_of_eight(std::uint16_t* out, const float* in) {
  for (std::int64_t i = 0; i < kLanes; ++i) {
    out[i] = Eigen::half(in[i]).x;
  }
}

void floats_of_eight(float* out, const std::uint16_t* in) {
  for (std::int64_t i = 0; i < kLanes; ++i) {
    out[i] = static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(in[i]));
  }
}
#endif

void add_eight(std::uint16_t* out, const std::uint16_t* a, const std::uint16_t* b) {
  float left[kLanes];
  float right[kLanes];
  floats_of_eight(left, a);
  floats_of_eight(right, b);
  for (std::int64_t i = 0; i < kLanes; ++i) {
    left[i] += right[i];
  }
  halves_of_eight(out, left);
}

}  // namespace

void halves_of(std::uint16_t* out, const float* in, std::int64_t count) {
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    halves_of_eight(out + i, in + i);
  }
  float rest[kLanes] = {};
  std::uint16_t halves[kLanes];
  std::copy(in + whole, in + count, rest);
  halves_of_eight(halves, rest);
  std::copy(halves, halves + (count - whole), out + whole);
}

void add_halves(std::uint16_t* out, const std::uint16_t* a, const std::uint16_t* b,
                std::int64_t count) {
  const std::int64_t whole = count / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    add_eight(out + i, a + i, b + i);
  }
  std::uint16_t left[kLanes] = {};
  std::uint16_t right[kLanes] = {};
  std::copy(a + whole, a + count, left);
  std::copy(b + whole, b + count, right);
  add_eight(left, left, right);
  std::copy(left, left + (count - whole), out + whole);
}

}  // namespace foretrain::trainer
