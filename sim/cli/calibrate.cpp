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
#include "strategies/collective/collective.hpp"
#include "validation/calibrate/collectives.hpp"
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

struct CollectivesOptions {
  std::vector<std::string> tables;
  std::string base;
  std::string output;
  std::string kind;
  std::vector<std::string> where;
  bool is_check = false;
  validation::CollectiveTableOptions table;
  validation::CalibrateCollectivesOptions calibrate;
};

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

void add_words(std::string& text, const std::string& option, const std::string& value) {
  const bool has_space = value.find_first_of(" (") != std::string::npos;
  text += fmt::format(" {} {}{}{}", option, has_space ? "'" : "", value, has_space ? "'" : "");
}

// The command as anyone can give it: files by name, without this machine's folders.
std::string command_of(const GpuOptions& options) {
  std::string text = fmt::format("foretrain calibrate gpu {} --base {}", file_name(options.table),
                                 file_name(options.base));
  const auto add = [&](const std::string& option, const std::string& value) {
    add_words(text, option, value);
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
  if (options.calibrate.table.head_dim != validation::KernelTableOptions{}.head_dim) {
    add("--head-dim", std::to_string(options.calibrate.table.head_dim));
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

std::string command_of(const CollectivesOptions& options) {
  std::string text = "foretrain calibrate collectives";
  for (const std::string& table : options.tables) {
    text += " " + file_name(table);
  }
  add_words(text, "--base", file_name(options.base));
  if (!options.kind.empty()) {
    add_words(text, "--kind", options.kind);
  }
  if (options.table.gpus != 0) {
    add_words(text, "--gpus", std::to_string(options.table.gpus));
  }
  if (options.table.gpus_per_node != 0) {
    add_words(text, "--gpus-per-node", std::to_string(options.table.gpus_per_node));
  }
  if (!options.table.algorithm.empty()) {
    add_words(text, "--algorithm", options.table.algorithm);
  }
  for (const std::string& condition : options.where) {
    add_words(text, "--where", condition);
  }
  for (const std::string& key : options.calibrate.keep) {
    add_words(text, "--keep", key);
  }
  return text;
}

validation::CollectiveTable tables_of(CollectivesOptions& options, config::Sources& sources) {
  for (const CollectiveKind kind : kCollectiveKinds) {
    if (name_of(kind) == options.kind) {
      options.table.kind = kind;
    }
  }
  for (const std::string& condition : options.where) {
    const std::size_t equals = std::min(condition.size(), condition.find('='));
    options.table.where.emplace_back(condition.substr(0, equals),
                                     condition.substr(std::min(condition.size(), equals + 1)));
  }
  validation::CollectiveTable all;
  for (const std::string& path : options.tables) {
    validation::CollectiveTable table = validation::read_collectives(sources, path, options.table);
    all.rows.insert(all.rows.end(), table.rows.begin(), table.rows.end());
    for (const auto& [reason, count] : table.rejected) {
      all.rejected[reason] += count;
    }
  }
  return all;
}

int check_collectives(validation::CollectiveTable table, const Cluster& cluster, Console& console) {
  validation::reject_erratic(table);
  validation::CollectiveCalibration result;
  result.cluster = cluster;
  result.points = validation::predict(table.rows, cluster);
  result.rejected = table.rejected;
  console.out << validation::text_of(result);
  for (const validation::CollectiveCurve& curve : validation::curves_of(result.points)) {
    if (curve.small > validation::kSmallTarget || curve.large > validation::kLargeTarget) {
      return kConditionFailed;
    }
  }
  return kGood;
}

int calibrate_collectives_command(CollectivesOptions& options, Console& console) {
  config::Sources sources;
  const std::string platforms = find_catalogue().platforms;
  const std::string path = config::find_file("cluster", options.base, platforms + "/clusters");
  validation::CollectiveTable table = tables_of(options, sources);
  if (options.is_check) {
    return check_collectives(std::move(table), load_cluster(sources, options.base, platforms),
                             console);
  }
  options.calibrate.command = command_of(options);
  const config::Value base = config::parse_toml(sources, path, config::read_file(path));
  const validation::CollectiveCalibration calibration = validation::calibrate_collectives(
      std::move(table), base,
      [&](const config::Value& tree) {
        config::Diagnostics diagnostics;
        config::Reader reader(tree, "", diagnostics);
        Cluster cluster = read_cluster(reader, sources, platforms);
        diagnostics.throw_if_any();
        return cluster;
      },
      options.calibrate);
  console.out << validation::text_of(calibration);
  if (!options.output.empty()) {
    write_file(options.output, calibration.toml);
    console.talk << "wrote " << options.output << '\n';
  }
  return kGood;
}

std::function<int()> add_collectives(CLI::App& app, Console& console) {
  auto options = std::make_shared<CollectivesOptions>();
  app.add_option("tables", options->tables,
                 "Measured collectives: text or JSON (-J) of nccl-tests, or CSV")
      ->required();
  app.add_option("--base", options->base, "Cluster file whose numbers are fitted, or its name")
      ->required();
  std::vector<std::string> kinds;
  kinds.reserve(kCollectiveKinds.size());
  for (const CollectiveKind kind : kCollectiveKinds) {
    kinds.emplace_back(name_of(kind));
  }
  app.add_option("--kind", options->kind, "The collective, where a file does not say")
      ->check(CLI::IsMember(kinds));
  app.add_option("--gpus", options->table.gpus, "GPUs, where a file does not say")
      ->check(CLI::Range(2, 10'000'000));
  app.add_option("--gpus-per-node", options->table.gpus_per_node,
                 "GPUs per node, where a file does not say")
      ->check(CLI::Range(1, 1024));
  std::vector<std::string> algorithms;
  algorithms.reserve(collective_algorithms().size());
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    algorithms.emplace_back(algorithm.name);
  }
  app.add_option("--algorithm", options->table.algorithm,
                 "What ran, where a file does not say; else the library's own choice")
      ->check(CLI::IsMember(algorithms));
  app.add_option("--where", options->where,
                 "Of a CSV the rows where column=text; of one column any of several")
      ->check([](const std::string& text) {
        return text.find('=') == std::string::npos ? "expected column=text" : "";
      });
  app.add_option("--keep", options->calibrate.keep,
                 "A key that stays as the file has it, such as node.achieved");
  app.add_flag("--check", options->is_check,
               "Fits nothing: holds the file as it stands against the measurements; exit code 3 "
               "when a curve is off by more than the target");
  app.add_option("--output", options->output, "Writes the cluster file here");
  return [options, &console] { return calibrate_collectives_command(*options, console); };
}

}  // namespace

std::function<int()> add_calibrate(CLI::App& app, Console& console) {
  auto options = std::make_shared<GpuOptions>();
  app.require_subcommand(1);
  CLI::App& collectives = *app.add_subcommand(
      "collectives", "How long collectives take on a cluster, from measured ones");
  const std::function<int()> run_collectives = add_collectives(collectives, console);
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
  gpu.add_option("--head-dim", options->calibrate.table.head_dim,
                 "Width of a head in the attention rows that are fitted")
      ->check(CLI::PositiveNumber)
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
  return [options, &console, &collectives, run_collectives] {
    return collectives.parsed() ? run_collectives() : calibrate_gpu_command(*options, console);
  };
}

}  // namespace foretrain::cli
