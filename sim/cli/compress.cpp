// foretrain compress: compressors over rates of the network, in worker processes.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/compress.hpp"

#include <algorithm>
#include <memory>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/config/quantity.hpp"
#include "sim/core/error.hpp"
#include "sim/core/suggest.hpp"
#include "sim/study/workers.hpp"
#include "strategies/compress/compressor.hpp"

namespace foretrain::cli {
namespace {

struct CompressArguments {
  RunOptions run;
  std::string format = "text";
  std::vector<std::string> methods;
  std::vector<std::string> places = {"gradients"};
  std::vector<std::string> rates;
  bool between_nodes_only = false;
  bool has_break_even = true;
  std::int64_t chunks = 1;
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
};

/// What the options ask for.
struct Study {
  CompressArguments options;
  std::vector<WireCompression> methods;
  std::vector<WirePlace> places;
  std::vector<BytesPerSecond> rates;
};

[[noreturn]] void refuse(const std::string& option, const std::string& message) {
  throw ConfigError({Diagnostic{option, 1, 1, "", message, ""}});
}

/// The entry of a table with this name, or an error that names the nearest.
template <class Table, class NameOf>
const auto& named(const Table& table, const std::string& name, const std::string& option,
                  NameOf name_of_row) {
  std::vector<std::string> names;
  for (const auto& row : table) {
    if (name_of_row(row) == name) {
      return row;
    }
    names.emplace_back(name_of_row(row));
  }
  const auto near = nearest(name, names);
  refuse(option, fmt::format("there is no '{}'{}", name,
                             near ? fmt::format("; did you mean '{}'?", *near)
                                  : fmt::format("; one of {}", fmt::join(names, ", "))));
}

// A method that the run file has in one of the places keeps the options and rates that it has
// there.
WireCompression method_of(const CompressArguments& options, const Compressor& row,
                          const Study& study, const Run& run) {
  WireCompression how{&row, CodecOptions(row.codec->options), options.between_nodes_only,
                      options.chunks};
  for (const WirePlace place : study.places) {
    const WireCompression* written = run.compression.at(place);
    if (written != nullptr && written->method == &row) {
      how.options = written->options;
      how.rates = written->rates;
    }
  }
  return how;
}

std::vector<BytesPerSecond> rates_of(const CompressArguments& options, const Run& run) {
  std::vector<BytesPerSecond> rates;
  for (const std::string& text : options.rates) {
    const auto rate = config::parse_quantity<BytesPerSecond>(text);
    if (!rate || *rate <= BytesPerSecond(0)) {
      refuse("--bandwidths",
             fmt::format("expected rates of a NIC such as \"12.5GB/s\", got \"{}\"", text));
    }
    rates.push_back(*rate);
  }
  if (rates.empty()) {
    for (const double factor : {0.125, 0.25, 0.5, 1.0, 2.0}) {
      rates.push_back(run.cluster.fabric.rate.value * factor);
    }
  }
  return rates;
}

Study study_of(const CompressArguments& options, const Run& run) {
  Study study;
  study.options = options;
  for (const std::string& place : options.places) {
    study.places.push_back(
        named(kWirePlaces, place, "--places", [](WirePlace row) { return name_of(row); }));
  }
  for (const std::string& method : options.methods) {
    const Compressor& row =
        named(compressors(), method, "--methods", [](const Compressor& one) { return one.name; });
    study.methods.push_back(method_of(options, row, study, run));
  }
  for (const Compressor& row : compressors()) {
    if (options.methods.empty()) {
      study.methods.push_back(method_of(options, row, study, run));
    }
  }
  study.rates = rates_of(options, run);
  return study;
}

// The run with NICs of this rate.
Run run_at(const Study& study, BytesPerSecond rate) {
  RunOptions options = study.options.run;
  options.sets.push_back(fmt::format("override.platform.fabric.rate=\"{:.0f} B/s\"", rate.value));
  LoadedRun loaded;
  load_run(options, loaded);
  return loaded.run;
}

// Throws ConfigError when the method makes no sense there.
CompressPoint predict(const Study& study, const WireCompression* how, BytesPerSecond rate) {
  const Run run = run_at(study, rate);
  CompressPoint point = measure(with_method(run, how, study.places));
  if (how != nullptr && how->method->codec->full_share != nullptr) {
    const CompressPoint plain = measure(with_method(run, nullptr, study.places));
    point = mean_step(plain, point, how->method->codec->full_share(how->options));
  }
  return point;
}

CompressPoint point_of(const Study& study, const WireCompression* how, BytesPerSecond rate) {
  CompressPoint point;
  try {
    point = predict(study, how, rate);
  } catch (const ConfigError& error) {
    point.refusal = error.diagnostics().front().message;
  } catch (const std::exception& error) {
    point.refusal = fmt::format("internal error: {}", error.what());
  }
  point.method = how == nullptr ? "none" : how->method->name;
  point.rate = rate;
  return point;
}

// Far beyond the platform's own rate both ways.
BreakEven break_even_of(const Study& study, const WireCompression& how, const Run& run) {
  constexpr double kSpan = 256;
  const BytesPerSecond own = run.cluster.fabric.rate.value;
  BreakEven found;
  try {
    const CompressPoint plain = predict(study, nullptr, own);
    const CompressPoint compressed = predict(study, &how, own);
    found = find_break_even(
        [&](BytesPerSecond rate) {
          return predict(study, nullptr, rate).step_time - predict(study, &how, rate).step_time;
        },
        own / kSpan, own * kSpan);
    found.closed_form = closed_break_even(run, plain, compressed);
  } catch (const ConfigError&) {
    found.kind = BreakEven::Kind::unknown;  // the points say why
  }
  found.method = how.method->name;
  return found;
}

CompressStudy carry_out(const Study& study, const Run& run, Console& console) {
  const std::size_t per_rate = study.methods.size() + 1;
  const std::size_t num_points = per_rate * study.rates.size();
  const std::size_t total = num_points + (study.options.has_break_even ? study.methods.size() : 0);
  const auto texts = run_in_workers(
      total, study.options.jobs,
      [&](std::size_t i) {
        if (i >= num_points) {
          return pack(break_even_of(study, study.methods[i - num_points], run));
        }
        const std::size_t method = i % per_rate;
        return pack(point_of(study, method == 0 ? nullptr : &study.methods[method - 1],
                             study.rates[i / per_rate]));
      },
      pieces_done_on(console, total, "predictions"));
  CompressStudy result;
  for (std::size_t i = 0; i < total; ++i) {
    if (i < num_points) {
      result.points.push_back(unpack_point(texts[i]));
    } else {
      result.break_evens.push_back(unpack_break_even(texts[i]));
    }
  }
  return result;
}

int compress_command(const CompressArguments& options, Console& console) {
  LoadedRun base;
  load_run(options.run, base);  // a mistake in the file itself is told once, with its place
  const Study study = study_of(options, base.run);
  const CompressStudy result = carry_out(study, base.run, console);
  if (options.format == "json") {
    console.out << compress_json(result);
  } else if (options.format == "csv") {
    console.out << compress_csv(result);
  } else {
    console.out << fmt::format("{} on {} x {}: compressed {}{}\n", base.run.model.name,
                               base.run.nodes, base.run.cluster.name,
                               fmt::join(options.places, ", "),
                               options.between_nodes_only ? " between nodes only" : "")
                << compress_text(result);
  }
  const bool has_any = std::any_of(result.points.begin(), result.points.end(), [](const auto& one) {
    return one.is_valid() && one.method != "none";
  });
  return has_any ? kGood : kConditionFailed;
}

}  // namespace

std::function<int()> add_compress(CLI::App& app, Console& console) {
  auto options = std::make_shared<CompressArguments>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  app.add_option("--methods", options->methods, "Compressors; all by default")->delimiter(',');
  app.add_option("--places", options->places, "Where: gradients, parameters, tensor, pipeline")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--bandwidths", options->rates,
                 "Rates of a NIC such as 12.5GB/s,25GB/s; an eighth to twice the platform's by "
                 "default")
      ->delimiter(',');
  app.add_flag("--between-nodes-only", options->between_nodes_only, "Code only what leaves a node");
  app.add_option("--chunks", options->chunks, "Pieces that are coded and sent in turn")
      ->check(CLI::Range(1, 256));
  app.add_flag("!--no-break-even", options->has_break_even,
               "Do not look for the rates below which methods pay");
  app.add_option("--jobs", options->jobs, "Worker processes")->check(CLI::Range(1, 1024));
  return [options, &console] { return compress_command(*options, console); };
}

}  // namespace foretrain::cli
