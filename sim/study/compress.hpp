// What compressors would bring: step time, bytes between nodes and the codec's time over rates of
// the network, and below which rate each of them pays.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

struct Simulation;

/// One method at one rate. Either a prediction or the reason why there is none.
struct CompressPoint {
  std::string method;        ///< "none" or a compressor
  BytesPerSecond rate{0};    ///< of a NIC, as the platform's file says it
  Seconds step_time;         ///< of a mean step, where some steps are not compressed
  Bytes sent_between_nodes;  ///< per GPU
  Seconds codec;             ///< per GPU, whether anything ran beside it or not
  Seconds exposed;           ///< communication and coding that compute waited for
  bool fits = true;
  std::string refusal;

  [[nodiscard]] bool is_valid() const { return refusal.empty(); }
};

/// Below which rate of a NIC a method pays.
struct BreakEven {
  enum class Kind : std::uint8_t { at, always, never, unknown };
  std::string method;
  Kind kind = Kind::unknown;
  BytesPerSecond simulated{0};  ///< when `at`
  /// Bytes saved over the codec's time: (1 - 1/r) / (1/Tc + 1/Td) of the bytes that are exchanged,
  /// as if nothing overlapped and latencies did not count.
  BytesPerSecond closed_form{0};
};

struct CompressStudy {
  std::vector<CompressPoint> points;   ///< by rate, then method
  std::vector<BreakEven> break_evens;  ///< by method, without "none"
};

/// Simulates the run. Method and rate are the caller's to fill in.
[[nodiscard]] CompressPoint measure(const Run& run);
/// Of steps of which this share is as `plain`, the others as `compressed`.
[[nodiscard]] CompressPoint mean_step(const CompressPoint& plain, const CompressPoint& compressed,
                                      double full_share);

/// The run with one method in these places (nullptr: none), and whether that makes sense: throws
/// ConfigError.
[[nodiscard]] Run with_method(Run run, const WireCompression* how,
                              const std::vector<WirePlace>& places);

/// Bytes that leave nodes in one step, over all GPUs.
[[nodiscard]] Bytes bytes_between_nodes(const Run& run, const Program& program);

/// Where `saved` (time, by rate) goes from more to less than 0, within a hundredth, between the
/// rates; `always` or `never` when it does not.
[[nodiscard]] BreakEven find_break_even(const std::function<Seconds(BytesPerSecond)>& saved,
                                        BytesPerSecond least, BytesPerSecond most);
/// The closed form from what a step of each kind sends and codes.
[[nodiscard]] BytesPerSecond closed_break_even(const Run& run, const CompressPoint& plain,
                                               const CompressPoint& compressed);

[[nodiscard]] std::string compress_text(const CompressStudy& study);
[[nodiscard]] std::string compress_json(const CompressStudy& study);
[[nodiscard]] std::string compress_csv(const CompressStudy& study);

// What a worker sends home, and back.
[[nodiscard]] std::string pack(const CompressPoint& point);
[[nodiscard]] CompressPoint unpack_point(const std::optional<std::string>& text);
[[nodiscard]] std::string pack(const BreakEven& break_even);
[[nodiscard]] BreakEven unpack_break_even(const std::optional<std::string>& text);

}  // namespace foretrain
