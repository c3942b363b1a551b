// SPDX-License-Identifier: Apache-2.0
#include "validation/live/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <fmt/format.h>

#include "sim/config/quantity.hpp"
#include "sim/config/reader.hpp"
#include "strategies/collective/collective.hpp"
#include "validation/calibrate/collectives.hpp"
#include "validation/calibrate/gpu.hpp"
#include "validation/live/level.hpp"
#include "validation/live/measurement.hpp"
#include "validation/live/predict.hpp"
#include "validation/live/process.hpp"
#include "validation/statistics.hpp"

namespace foretrain::live {
namespace {

constexpr Seconds kBenchmarkLimit{300};
constexpr const char* kShortEffort = "0.2";
constexpr const char* kEffort = "0.7";
constexpr Seconds kHostProbe{1e-3};
constexpr double kAboveBest = 1.2;  // of loopback, whose rate is what was seen at best

class Calibrator {
 public:
  Calibrator(const Tools& tools, const Selection& selection, const std::string& folder,
             const Catalogue& catalogue, const Tell& tell)
      : tools_(tools), selection_(selection), folder_(folder), catalogue_(catalogue), tell_(tell) {}

  Calibration run() {
    fit_gpu();
    tell_("codecs");
    result_.codecs = read_codec_rates(benchmark("codecs", selection_.rates.front(), "codecs.csv"));
    write_text(path("stack.toml"), stack_file(result_.memory, {}));
    for (const BytesPerSecond rate : selection_.rates) {
      fit_cluster(rate);
    }
    fit_to_lone_steps();
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

  validation::CsvTable benchmark(const std::string& name, BytesPerSecond rate,
                                 const std::string& file) {
    (void)run_checked("benchmark " + name,
                      command_of(tools_, {rate,
                                          Straggler::none,
                                          false,
                                          {"benchmark", name, "--effort",
                                           selection_.is_short ? kShortEffort : kEffort, "--output",
                                           path(file)}}),
                      kBenchmarkLimit);
    return validation::CsvTable::load(sources_, path(file));
  }

  void fit_gpu() {
    tell_("kernels");
    const validation::CsvTable table =
        benchmark("kernels", selection_.rates.front(), "kernels.csv");
    result_.memory = read_memory_rates(table);
    validation::CalibrateOptions options;
    options.table.dtype = Dtype::fp32;
    options.table.head_dim = kHeadDim;
    options.command = "foretrain validate --live";
    const config::Value base = config::parse_toml(
        sources_, "gpu.toml", gpu_base(result_.memory, best_gemm_rate(table), "measured"));
    const validation::GpuCalibration fit = validation::calibrate_gpu(
        validation::read_kernel_table(table, options.table), base, options);
    gpu_ = fit.toml;
    write_text(path("gpu.toml"), gpu_);
    write_text(path("gpu.txt"), validation::text_of(fit));
    for (const validation::ErrorLine& line : fit.errors) {
      if (line.table == "gemm.fp32" && line.size == "all") {
        result_.words += fmt::format("GEMMs within {:.1f} % of {} rows", 100 * line.fitted.mean,
                                     line.fitted.rows);
      }
    }
  }

  // The rate of loopback is nowhere stated: somewhat above the best that a collective reached.
  static BytesPerSecond rate_of(BytesPerSecond rate, const validation::CollectiveTable& table) {
    if (rate != kLoopback) {
      return rate;
    }
    BytesPerSecond best(1);
    for (const validation::MeasuredCollective& row : table.rows) {
      const double factor = bus_factor(row.kind, static_cast<std::size_t>(row.gpus));
      best = std::max(best, row.payload * factor / row.time);
    }
    return best * kAboveBest;
  }

  void fit_cluster(BytesPerSecond rate) {
    tell_("links of " + tc_rate(rate));
    const std::string suffix = "-" + tc_rate(rate) + ".csv";
    const validation::CsvTable table = benchmark("collectives", rate, "collectives" + suffix);
    validation::CollectiveTable rows =
        validation::read_collectives(sources_, path("collectives" + suffix), {});
    LinkFacts link;
    link.name = tc_rate(rate);
    link.rate = rate_of(rate, rows);
    link.message_latency = read_message_latency(table);
    link.compute_share =
        read_compute_share(benchmark("interference", rate, "interference" + suffix));
    const config::Value base =
        config::parse_toml(sources_, path(cluster_file(rate)), cluster_base(link));
    const auto load = [&](const config::Value& tree) {
      config::Diagnostics diagnostics;
      config::Reader reader(tree, "", diagnostics);
      Cluster cluster = read_cluster(reader, sources_, catalogue_.platforms);
      diagnostics.throw_if_any();
      return cluster;
    };
    validation::CalibrateCollectivesOptions options;
    options.command = "foretrain validate --live";
    const validation::CollectiveCalibration fit =
        validation::calibrate_collectives(std::move(rows), base, load, options);
    write_text(path(cluster_file(rate)), fit.toml);
    write_text(path("cluster-" + tc_rate(rate) + ".txt"), validation::text_of(fit));
    double sum = 0;
    for (const validation::CollectivePoint& point : fit.points) {
      sum += std::abs(point.error());
    }
    result_.words +=
        fmt::format("; collectives at {} within {:.1f} %", tc_rate(rate),
                    100 * sum / static_cast<double>(std::max<std::size_t>(1, fit.points.size())));
  }

  // Two of them run at once, as two ranks do in every setting.
  Seconds measure_alone(const LiveModel& model) {
    const std::string name = "alone-" + std::string(model.name);
    (void)run_checked("a single rank",
                      command_of(tools_, {kLoopback,
                                          Straggler::none,
                                          true,
                                          {"train", path(name + ".toml"), "--warm-up", "2",
                                           "--repeats", selection_.is_short ? "3" : "7", "--output",
                                           path("measured-" + name + "-{rank}.toml")}}),
                      kBenchmarkLimit);
    Seconds sum(0);
    for (const char* rank : {"0", "1"}) {
      sum += read_measurement(sources_, path("measured-" + name + "-" + rank + ".toml")).median;
    }
    return sum * 0.5;
  }

  void fit_to_lone_steps() {
    const std::vector<const LiveModel*> models = models_of(selection_);
    std::vector<RunToPredict> runs;
    std::vector<LoneStep> steps(models.size());
    for (std::size_t i = 0; i < models.size(); ++i) {
      tell_("a single rank, " + std::string(models[i]->name));
      const std::string run = path("alone-" + std::string(models[i]->name) + ".toml");
      write_text(run, lone_run_file(*models[i], selection_.rates.front()));
      steps[i].measured = measure_alone(*models[i]);
      steps[i].host = kHostProbe;
      runs.push_back({run, {}});
      runs.push_back({run, {"override.gpu.sustained=0.5"}});
      runs.push_back(
          {run,
           {fmt::format("override.stack.host_per_layer=\"{:g} us\"", kHostProbe.value * 1e6)}});
    }
    const std::vector<Seconds> times = predict(runs, catalogue_);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      steps[i].predicted = times[3 * i];
      steps[i].at_half_level = times[3 * i + 1];
      steps[i].with_host = times[3 * i + 2];
    }
    result_.level = fit_level(steps);
    write_text(path("gpu.toml"), gpu_file(gpu_, result_.level));
    write_text(path("stack.toml"), stack_file(result_.memory, result_.level));
    result_.words +=
        fmt::format("; single ranks at {:.3f} of the kernels' level, host {} per layer",
                    result_.level.sustained, config::show(result_.level.host_per_layer));
  }

  const Tools& tools_;
  const Selection& selection_;
  const std::string& folder_;
  const Catalogue& catalogue_;
  const Tell& tell_;
  config::Sources sources_;
  std::string gpu_;  // fitted, at full level
  Calibration result_;
};

}  // namespace

Calibration calibrate(const Tools& tools, const Selection& selection, const std::string& folder,
                      const Catalogue& catalogue, const Tell& tell) {
  return Calibrator(tools, selection, folder, catalogue, tell).run();
}

void add_rate(BytesPerSecond rate, const std::vector<BytesPerSecond>& calibrated,
              const std::string& folder) {
  const auto distance = [&](BytesPerSecond other) { return std::abs(std::log(other / rate)); };
  const BytesPerSecond nearest = *std::min_element(
      calibrated.begin(), calibrated.end(),
      [&](BytesPerSecond a, BytesPerSecond b) { return distance(a) < distance(b); });
  const std::string fitted = config::read_file(folder + "/" + cluster_file(nearest));
  write_text(folder + "/" + cluster_file(rate), cluster_at(fitted, rate));
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.flush();
  if (!file) {
    throw ConfigError({Diagnostic{path, 0, 0, "", "cannot be written", ""}});
  }
}

}  // namespace foretrain::live
