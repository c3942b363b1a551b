// Reads a GPU file; gpus/a100-sxm4-80gb.toml shows every key.
// SPDX-License-Identifier: Apache-2.0
#include "platforms/gpu.hpp"

#include <utility>

#include "platforms/names.hpp"
#include "sim/config/catalogue.hpp"

namespace foretrain {
namespace {

using config::Basis;
using config::Reader;

// No kernel streams faster than the datasheet's HBM rate or computes faster than its peak.
constexpr double kLeastShare = 0.01;
constexpr double kMostShare = 1.0;

GemmFit read_fit(Reader& table) {
  GemmFit fit;
  fit.efficiency = table.fraction("efficiency", kLeastShare, kMostShare);
  fit.bandwidth = table.fraction("bandwidth", kLeastShare, kMostShare);
  fit.floor = table.get<Sourced<Seconds>>("floor");
  fit.k_fill = table.get<double>("k_fill", 0.0);
  fit.occupancy = table.get<double>("occupancy", 0.0);
  if (fit.k_fill < 0) {
    table.fail("k_fill", "expected a number of elements, at least 0");
  }
  if (fit.occupancy < 0) {
    table.fail("occupancy", "expected a number of tiles per SM, at least 0");
  }
  table.finish();
  return fit;
}

// A fit that is taken over from another data type of the same GPU.
GemmFit read_transfer(Reader& table, const std::map<Dtype, GemmFit>& fits) {
  const std::size_t mistakes = table.diagnostics().size();
  const Dtype original =
      table.choice("same_as", std::span<const config::Choice<Dtype>>(kDtypeNames));
  const bool is_known = table.diagnostics().size() == mistakes;
  const std::string source = table.get<std::string>("source");
  GemmFit fit;
  if (const auto found = fits.find(original); found != fits.end()) {
    fit = found->second;
  } else if (is_known) {
    table.fail("same_as", "expected a data type that has a fit of its own in this file");
  }
  if (table.has("basis")) {
    table.fail("basis", "a fit that is the same as another is transferred: leave out the basis");
  }
  for (Sourced<double>* number : {&fit.efficiency, &fit.bandwidth}) {
    number->source = source;
    number->basis = Basis::transferred;
  }
  fit.floor.source = source;
  fit.floor.basis = Basis::transferred;
  table.finish();
  return fit;
}

std::map<Dtype, GemmFit> read_gemm(Reader table) {
  std::map<Dtype, GemmFit> fits;
  std::vector<std::pair<Dtype, Reader>> transfers;
  for (const auto& [name, dtype] : kDtypeNames) {
    std::optional<Reader> child = table.maybe_child(name);
    if (!child) {
      continue;
    }
    if (child->has("same_as")) {
      transfers.emplace_back(dtype, *child);
    } else {
      fits[dtype] = read_fit(*child);
    }
  }
  std::map<Dtype, GemmFit> all = fits;
  for (auto& [dtype, child] : transfers) {
    all[dtype] = read_transfer(child, fits);
  }
  table.finish();
  return all;
}

void read_peaks(Reader table, Gpu& gpu) {
  for (const auto& [name, dtype] : kDtypeNames) {
    if (table.has(name)) {
      gpu.peak[dtype] = table.get<Sourced<FlopsPerSecond>>(name);
      if (gpu.peak[dtype].value <= FlopsPerSecond(0)) {
        table.fail(name, "expected a peak greater than zero");
      }
    }
  }
  table.finish();
}

void read_flash(Reader table, Gpu& gpu) {
  gpu.flash_floor = table.get<Sourced<Seconds>>("floor");
  for (const auto& [name, version] : kFlashNames) {
    std::optional<Reader> child = table.maybe_child(name);
    if (!child) {
      continue;
    }
    FlashFit& forward = gpu.flash_forward[version];
    forward.efficiency = child->fraction("forward", kLeastShare, kMostShare);
    forward.tail = child->fraction("forward_tail", 0, 100).value;
    FlashFit& backward = gpu.flash_backward[version];
    backward.efficiency = child->fraction("backward", kLeastShare, kMostShare);
    backward.tail = child->fraction("backward_tail", 0, 100).value;
    child->finish();
  }
  table.finish();
}

// Kernels whose instructions bound them: rates in elements per SM and clock.
void read_element_rates(Reader table, Gpu& gpu) {
  for (const auto& [name, op] : kMemoryOpNames) {
    if (table.has(name)) {
      gpu.element_rate[op] = table.fraction(name, 0.01, 1000);
    }
  }
  table.finish();
}

void read_memory_bound(Reader table, Gpu& gpu) {
  gpu.memory_floor = table.get<Sourced<Seconds>>("floor");
  for (const auto& [name, op] : kMemoryOpNames) {
    gpu.memory_share[op] = table.fraction(name, kLeastShare, kMostShare);
  }
  if (std::optional<Reader> rates = table.maybe_child("elements_per_clock")) {
    read_element_rates(*rates, gpu);
  }
  table.finish();
}

}  // namespace

bool supports(const Gpu& gpu, Dtype dtype) {
  return gpu.gemm.contains(dtype) && gpu.peak.contains(dtype);
}

bool supports(const Gpu& gpu, FlashVersion version) {
  return gpu.flash_forward.contains(version) && gpu.flash_backward.contains(version);
}

Gpu read_gpu(Reader& reader) {
  Gpu gpu;
  gpu.name = reader.get<std::string>("name");
  gpu.source = reader.get<std::string>("source");
  gpu.generation =
      reader.choice("generation", std::span<const config::Choice<GpuGeneration>>(kGenerationNames));
  gpu.memory = reader.get<Sourced<Bytes>>("memory");
  gpu.memory_rate = reader.get<Sourced<BytesPerSecond>>("memory_rate");
  if (reader.has("memory_rate") && gpu.memory_rate.value <= BytesPerSecond(0)) {
    reader.fail("memory_rate", "expected a rate greater than zero");
  }
  gpu.sms = reader.count("sms", {1, 10'000});
  gpu.weight_gradient = reader.fraction("weight_gradient", 0.1, 1.0);
  gpu.grouped_floor = reader.get<Sourced<Seconds>>("grouped_floor");
  gpu.sustained = {1.0, "no sustained clock known: the fits are taken as they are", Basis::assumed};
  if (reader.has("sustained")) {
    gpu.sustained = reader.fraction("sustained", kLeastSustained, kMostSustained);
  }
  read_peaks(reader.child("peak"), gpu);
  gpu.gemm = read_gemm(reader.child("gemm"));
  for (const auto& [dtype, fit] : gpu.gemm) {
    if (!gpu.peak.contains(dtype)) {
      const std::string name(name_in(kDtypeNames, dtype));
      std::string message = "gemm." + name;
      message += " needs peak." + name;
      message += ", of which it is a share";
      reader.fail("gemm", std::move(message));
    }
  }
  if (std::optional<Reader> flash = reader.maybe_child("flash")) {
    read_flash(*flash, gpu);
  }
  read_memory_bound(reader.child("memory_bound"), gpu);
  if (reader.has("clock") || !gpu.element_rate.empty()) {
    gpu.clock = reader.get<Sourced<Hertz>>("clock");
    if (reader.has("clock") && gpu.clock.value <= Hertz(0)) {
      reader.fail("clock", "expected a clock rate greater than zero");
    }
  }
  reader.ignore("calibration");  // what `foretrain calibrate gpu` left for the reader of the file
  reader.finish();
  return gpu;
}

Gpu load_gpu(config::Sources& sources, const std::string& name_or_path,
             const std::string& platforms_directory, const config::Value* overrides) {
  const std::string path = config::find_file("GPU", name_or_path, platforms_directory + "/gpus");
  return config::load_toml<Gpu>(sources, path, read_gpu, overrides);
}

}  // namespace foretrain
