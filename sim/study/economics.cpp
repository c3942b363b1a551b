// SPDX-License-Identifier: Apache-2.0
#include "sim/study/economics.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/config/catalogue.hpp"
#include "sim/study/amounts.hpp"

namespace foretrain {
namespace {

using config::Reader;

/// One number of the file with where it is from.
struct Example {
  std::optional<double> value;
  std::string origin;
};

struct GpuExamples {
  std::string name;  ///< a file in platforms/gpus
  Example price;
  Example load;
  Example idle;
  Example host;
};

struct Examples {
  Example pue;
  Example grid;
  std::vector<GpuExamples> gpus;
};

Example read_amount(Reader& table, const char* key,
                    std::optional<double> (*parse)(std::string_view), const char* expected) {
  Example example;
  std::optional<Reader> entry = table.maybe_child(key);
  if (!entry) {
    return example;
  }
  const std::string text = entry->get<std::string>("value");
  example.value = parse(text);
  if (!example.value) {
    entry->fail("value", fmt::format("expected {}, got \"{}\"", expected, text));
  }
  const std::string date = entry->get<std::string>("date", "");
  example.origin = (date.empty() ? "" : date + ", ") + entry->get<std::string>("source");
  entry->ignore("basis");
  entry->finish();
  return example;
}

Examples read_examples(Reader& reader) {
  Examples examples;
  Reader building = reader.child("building");
  const Sourced<double> pue = building.fraction("pue", 1.0, 5.0);
  examples.pue = {pue.value, pue.source};
  examples.grid = read_amount(building, "grid", parse_grid, "an intensity such as \"370 g/kWh\"");
  building.finish();
  for (Reader& table : reader.children("gpus")) {
    GpuExamples gpu;
    gpu.name = table.get<std::string>("name");
    gpu.price = read_amount(table, "price", parse_hourly_price, "a price such as \"$2.50/h\"");
    gpu.load = read_amount(table, "load", parse_power, "a power such as \"700 W\"");
    gpu.idle = read_amount(table, "idle", parse_power, "a power such as \"100 W\"");
    gpu.host = read_amount(table, "host", parse_power, "a power such as \"350 W\"");
    table.finish();
    examples.gpus.push_back(std::move(gpu));
  }
  reader.finish();
  return examples;
}

// A GPU file says the GPU's full name; the examples say the file's.
const GpuExamples* find(const Examples& examples, const Gpu& gpu, config::Sources& sources,
                        const std::string& platforms) {
  for (const GpuExamples& each : examples.gpus) {
    if (load_gpu(sources, each.name, platforms).name == gpu.name) {
      return &each;
    }
  }
  return nullptr;
}

/// The mean of one number over the kinds of nodes; missing where one kind lacks it.
std::optional<double> mean(const Cluster& cluster, const std::vector<const GpuExamples*>& kinds,
                           Example GpuExamples::*number) {
  const std::vector<std::int64_t> counts = cluster.nodes_of_kinds(cluster.node_unit());
  double sum = 0;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i] == nullptr || !(kinds[i]->*number).value) {
      return std::nullopt;
    }
    sum += *(kinds[i]->*number).value * static_cast<double>(counts[i]);
  }
  return sum / static_cast<double>(cluster.node_unit());
}

}  // namespace

Economics load_economics(config::Sources& sources, const std::string& path, const Cluster& cluster,
                         const EconomicsChoice& choice) {
  const Examples examples = config::load_toml<Examples>(sources, path, read_examples);
  const std::string platforms = path.substr(0, path.rfind('/'));
  config::Sources scratch;
  std::vector<const GpuExamples*> kinds;
  for (const Cluster* kind : cluster.kinds()) {
    kinds.push_back(find(examples, kind->gpu, scratch, platforms));
  }
  Economics economics;
  const auto take = [&](std::optional<double>& into, const std::optional<double>& given,
                        Example GpuExamples::*number) {
    into = given ? given : mean(cluster, kinds, number);
  };
  take(economics.price, choice.price, &GpuExamples::price);
  take(economics.load, choice.load, &GpuExamples::load);
  take(economics.idle, choice.idle, &GpuExamples::idle);
  take(economics.host, choice.host, &GpuExamples::host);
  economics.pue = choice.pue.value_or(*examples.pue.value);
  economics.grid = choice.grid.value_or(examples.grid.value.value_or(0));
  if (!choice.price && economics.price) {
    for (const GpuExamples* kind : kinds) {
      economics.notes.push_back(fmt::format("price ${:.2f}/h is an example for {}: {}",
                                            *kind->price.value, kind->name, kind->price.origin));
    }
  }
  return economics;
}

std::string power_text(const Economics& economics) {
  if (!economics.has_power()) {
    return "unknown: give --load-power, --idle-power and --host-power";
  }
  return fmt::format(
      "{:.0f} W per GPU at load, {:.0f} W waiting, {:.0f} W of its host, PUE {:.2f}, {:.0f} g CO2 "
      "per kWh",
      *economics.load, *economics.idle, *economics.host, economics.pue, economics.grid);
}

Bill bill_of(const Economics& economics, std::int64_t gpus, Seconds time, double idle_share) {
  Bill bill;
  bill.gpu_hours = static_cast<double>(gpus) * time.value / 3600;
  if (economics.price) {
    bill.dollars = bill.gpu_hours * *economics.price;
  }
  if (economics.has_power()) {
    const double watts =
        *economics.load * (1 - idle_share) + *economics.idle * idle_share + *economics.host;
    bill.megawatt_hours = bill.gpu_hours * watts * economics.pue * 1e-6;
    bill.tonnes = *bill.megawatt_hours * economics.grid * 1e-3;  // g/kWh is kg/MWh
  }
  return bill;
}

}  // namespace foretrain
