// foretrain calibrate: fits the numbers of a platform file to measurements.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "platforms/names.hpp"
#include "sim/cli/cli.hpp"
#include "sim/config/catalogue.hpp"
#include "validation/calibrate/gpu.hpp"

namespace foretrain::cli {
namespace {

struct GpuOptions {
  std::string table;
  std::string base;
  std::string output;
  std::string flash = "flash2";
  std::string dtype = "fp16";
  validation::CalibrateOptions calibrate;
};

// The command as anyone can give it: files by name, without this machine's folders.
std::string command_of(const GpuOptions& options) {
  const auto name = [](const std::string& path) {
    return std::filesystem::path(path).filename().string();
  };
  std::string text =
      fmt::format("foretrain calibrate gpu {} --base {}", name(options.table), name(options.base));
  const auto add = [&](const std::string& option, const std::string& value) {
    const bool has_space = value.find(' ') != std::string::npos;
    text += fmt::format(" {} {}{}{}", option, has_space ? "'" : "", value, has_space ? "'" : "");
  };
  if (!options.calibrate.table.gpu_name.empty()) {
    add("--gpu-name", options.calibrate.table.gpu_name);
  }
  for (const std::string& board : options.calibrate.table.same_chip) {
    add("--same-chip", board);
  }
  if (options.flash != "flash2") {
    add("--flash", options.flash);
  }
  if (options.calibrate.holdout != 4) {
    add("--holdout", std::to_string(options.calibrate.holdout));
  }
  if (options.calibrate.seed != 0) {
    add("--seed", std::to_string(options.calibrate.seed));
  }
  return text;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.flush();
  if (!file) {
    Diagnostic diagnostic;
    diagnostic.file = path;
    diagnostic.message = "cannot be written";
    throw ConfigError({diagnostic});
  }
}

template <class E, std::size_t N>
E value_in(const std::array<config::Choice<E>, N>& table, const std::string& name) {
  for (const config::Choice<E>& row : table) {
    if (row.name == name) {
      return row.value;
    }
  }
  return table.front().value;  // CLI11 has checked the name
}

template <class E, std::size_t N>
std::vector<std::string> names_of(const std::array<config::Choice<E>, N>& table) {
  std::vector<std::string> names;
  names.reserve(table.size());
  for (const config::Choice<E>& row : table) {
    names.emplace_back(row.name);
  }
  return names;
}

int calibrate_gpu_command(GpuOptions& options, Console& console) {
  options.calibrate.table.flash = value_in(kFlashNames, options.flash);
  options.calibrate.table.dtype = value_in(kDtypeNames, options.dtype);
  options.calibrate.command = command_of(options);
  config::Sources sources;
  const std::string path =
      config::find_file("GPU", options.base, find_catalogue().platforms + "/gpus");
  const config::Value base = config::parse_toml(sources, path, config::read_file(path));
  const validation::CsvTable table = validation::CsvTable::load(sources, options.table);
  const validation::KernelTable kernels =
      validation::read_kernel_table(table, options.calibrate.table);
  const validation::GpuCalibration calibration =
      validation::calibrate_gpu(kernels, base, options.calibrate);
  console.out << validation::text_of(calibration);
  if (!options.output.empty()) {
    write_file(options.output, calibration.toml);
    console.talk << "wrote " << options.output << '\n';
  }
  return kGood;
}

}  // namespace

std::function<int()> add_calibrate(CLI::App& app, Console& console) {
  auto options = std::make_shared<GpuOptions>();
  app.require_subcommand(1);
  CLI::App& gpu =
      *app.add_subcommand("gpu", "Kernel times of a GPU, from a table of measured kernels");
  gpu.add_option("table", options->table,
                 "CSV of measured kernels; the columns are in platforms/README.md")
      ->required();
  gpu.add_option("--base", options->base,
                 "GPU file with datasheet values, or a GPU's name; what it states stands")
      ->required();
  gpu.add_option("--gpu-name", options->calibrate.table.gpu_name,
                 "The GPU as in the table's column gpu; all rows by default");
  gpu.add_option("--same-chip", options->calibrate.table.same_chip,
                 "Another name in that column: the same chip on another board");
  gpu.add_option("--flash", options->flash, "What the table's attention rows ran")
      ->check(CLI::IsMember(names_of(kFlashNames)))
      ->capture_default_str();
  gpu.add_option("--dtype", options->dtype, "Data type of rows that state none")
      ->check(CLI::IsMember(names_of(kDtypeNames)))
      ->capture_default_str();
  gpu.add_option("--holdout", options->calibrate.holdout, "Parts of the shapes, each left out once")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  gpu.add_option("--seed", options->calibrate.seed, "Another seed, another split into parts")
      ->capture_default_str();
  gpu.add_option("--output", options->output, "Writes the GPU file here");
  return [options, &console] { return calibrate_gpu_command(*options, console); };
}

}  // namespace foretrain::cli
