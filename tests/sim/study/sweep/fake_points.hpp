// Points of a sweep that cost nothing to predict, and a journal's table of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "sim/core/hash.hpp"
#include "sim/study/sweep/result.hpp"
#include "sim/study/sweep/sweep.hpp"

namespace foretrain::testing {

/// What a prediction of `step` seconds leaves in a journal.
inline std::string fake_result(double step) {
  return fmt::format(
      R"({{"gpus":8,"step_time_s":{0},"tokens_per_s":{1},"tokens_per_s_per_gpu":{2},)"
      R"("mfu":0.5,"hfu":0.5,"fits":true,"breakdown_s":{{"compute":{0},)"
      R"("exposed_data":0.0,"bubble":0.0,"optimizer":0.0,"host":0.0}}}})",
      step, 1000 / step, 125 / step);
}

/// The hash of a point of fake inputs called `inputs`.
inline std::string fake_hash(const std::vector<sweep::Assignment>& assignments,
                             const std::string& inputs = "") {
  std::string all = inputs;
  for (const sweep::Assignment& assignment : assignments) {
    all += '\0' + assignment.text();
  }
  return hex(fnv1a_64(all));
}

inline sweep::Identity identity_of(const sweep::Grid& grid, const std::string& inputs = "inputs") {
  return {grid.to_json(), "run.toml", inputs, "1.0"};
}

inline sweep::Row fake_row(const sweep::Grid& grid, std::uint64_t point, double step) {
  sweep::Row row;
  row.point = point;
  row.config_hash = fake_hash(grid.point(point));
  row.varied = "{}";
  row.result = fake_result(step);
  return row;
}

inline std::string csv_of(const std::string& path) {
  return sweep_csv(sweep::Journal::read(path), {});
}

/// A file that processes add bytes to, whole even when they are killed.
class Mark {
 public:
  explicit Mark(std::string path) : path_(std::move(path)) {}
  void add() const {
    const int file = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0600);
    (void)!::write(file, "x", 1);
    ::close(file);
  }
  [[nodiscard]] std::uint64_t count() const {
    return std::filesystem::exists(path_) ? std::filesystem::file_size(path_) : 0;
  }

 private:
  std::string path_;
};

}  // namespace foretrain::testing
