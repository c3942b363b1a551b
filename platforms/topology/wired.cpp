// A node that is wired as its file says, link by link:
// SPDX-License-Identifier: Apache-2.0
//
//   cpus = 2                                # switches = 0, gpus_forward = false unless given
//   links = [
//     { between = "gpu 0-2", and = "gpu 0-2", rate = "50 GB/s" },   # each of the three pairs
//     { between = "gpu 0-2", and = "cpu 0", rate = "50 GB/s" },
//   ]
//
// An entry links everything on its one side to everything on its other, at this rate one way.
#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "platforms/wiring/graph_node.hpp"

namespace foretrain {
namespace {

using config::Reader;
using config::Sourced;

constexpr std::size_t kMostHubs = 64;  // switches or processors

struct Kind {
  std::string_view word;
  VertexKind kind;
};
constexpr std::array<Kind, 4> kKinds = {{{"gpu", VertexKind::gpu},
                                         {"nic", VertexKind::nic},
                                         {"switch", VertexKind::chip_switch},
                                         {"cpu", VertexKind::cpu}}};

std::size_t count_of(VertexKind kind, const VertexCounts& counts) {
  switch (kind) {
    case VertexKind::gpu:
      return counts.gpus;
    case VertexKind::nic:
      return counts.nics;
    case VertexKind::chip_switch:
      return counts.switches;
    case VertexKind::cpu:
      return counts.cpus;
  }
  return 0;
}

// Digits at the front of `text`, taken off it.
std::optional<std::size_t> take_number(std::string_view& text) {
  std::size_t number = 0;
  std::size_t digits = 0;
  while (digits < text.size() && digits < 4 && text[digits] >= '0' && text[digits] <= '9') {
    number = 10 * number + static_cast<std::size_t>(text[digits] - '0');
    ++digits;
  }
  text.remove_prefix(digits);
  return digits > 0 ? std::optional<std::size_t>(number) : std::nullopt;
}

bool take(std::string_view& text, std::string_view prefix) {
  const bool is_there = text.substr(0, prefix.size()) == prefix;
  text.remove_prefix(is_there ? prefix.size() : 0);
  return is_there;
}

// "0-2,5" as 0, 1, 2, 5; empty when it is not of that form.
std::vector<std::size_t> numbers_in(std::string_view text) {
  std::vector<std::size_t> numbers;
  do {
    const std::optional<std::size_t> first = take_number(text);
    const std::optional<std::size_t> last = take(text, "-") ? take_number(text) : first;
    if (!first || !last || *last < *first) {
      return {};
    }
    for (std::size_t number = *first; number <= *last; ++number) {
      numbers.push_back(number);
    }
  } while (take(text, ","));
  return text.empty() ? numbers : std::vector<std::size_t>{};
}

/// The side of a link entry at this key, such as "gpu 0-2,5"; nothing after a mistake.
std::vector<Vertex> read_side(Reader& entry, const char* key, const VertexCounts& counts) {
  const std::string written = entry.get<std::string>(key);
  if (written.empty()) {
    return {};
  }
  std::string_view text = written;
  const auto* const kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& known) {
    return take(text, std::string(known.word) + " ");
  });
  const std::vector<std::size_t> numbers =
      kind == kKinds.end() ? std::vector<std::size_t>{} : numbers_in(text);
  if (numbers.empty()) {
    entry.fail(key, fmt::format("expected gpu, nic, switch or cpu and numbers such as "
                                "\"gpu 0-2,5\", got \"{}\"",
                                written));
    return {};
  }
  std::vector<Vertex> side;
  side.reserve(numbers.size());
  for (const std::size_t number : numbers) {
    if (number >= count_of(kind->kind, counts)) {
      entry.fail(key, fmt::format("there is no {} {}: this node has {} of them", kind->word, number,
                                  count_of(kind->kind, counts)));
      return {};
    }
    side.push_back({kind->kind, number});
  }
  return side;
}

/// One entry of `links`.
struct Links {
  std::string name;  // as written
  std::vector<std::pair<Vertex, Vertex>> pairs;
  Sourced<BytesPerSecond> rate;
};

// Both sides may be the same set: then every two of it are linked. Otherwise they are apart.
std::vector<std::pair<Vertex, Vertex>> pairs_of(Reader& entry, const std::vector<Vertex>& left,
                                                const std::vector<Vertex>& right) {
  std::vector<std::pair<Vertex, Vertex>> pairs;
  for (const Vertex& a : left) {
    for (const Vertex& b : right) {
      if (left == right ? a < b : a != b) {
        pairs.emplace_back(a, b);
      } else if (left != right || left.size() == 1) {
        entry.fail("and", a.name() + " cannot be linked to itself");
        return {};
      }
    }
  }
  return pairs;
}

Links read_entry(Reader& entry, const VertexCounts& counts) {
  Links links;
  const std::vector<Vertex> left = read_side(entry, "between", counts);
  const std::vector<Vertex> right = read_side(entry, "and", counts);
  links.pairs = pairs_of(entry, left, right);
  links.rate = entry.get<Sourced<BytesPerSecond>>("rate");
  if (entry.has("rate") && links.rate.value <= BytesPerSecond(0)) {
    entry.fail("rate", "expected a rate greater than zero");
  }
  if (!left.empty() && !right.empty()) {
    links.name =
        fmt::format("{} to {}", entry.get<std::string>("between"), entry.get<std::string>("and"));
  }
  entry.finish();
  return links;
}

std::vector<Links> read_links(Reader& table, const VertexCounts& counts) {
  std::vector<Links> all;
  std::set<std::pair<Vertex, Vertex>> seen;
  for (Reader& entry : table.children("links")) {
    Links links = read_entry(entry, counts);
    for (const auto& [a, b] : links.pairs) {
      if (!seen.emplace(std::min(a, b), std::max(a, b)).second) {
        entry.fail("and", a.name() + " and " + b.name() +
                              " are linked by an entry before: give their rates as one");
        break;
      }
    }
    all.push_back(std::move(links));
  }
  if (!table.has("links")) {
    table.fail("links",
               "expected links = [{ between = \"gpu 0-2\", and = \"cpu 0\", rate = ... }]");
  }
  return all;
}

// What the file says of one GPU bounds what it says of its links.
void check_rate(Reader& table, const LinkGraph& graph, BytesPerSecond rate) {
  for (std::size_t gpu = 0; gpu < graph.counts().gpus; ++gpu) {
    BytesPerSecond sum;
    for (std::size_t other = 0; other < graph.counts().gpus; ++other) {
      sum +=
          gpu == other ? BytesPerSecond(0) : graph.rate_between(gpu_vertex(gpu), gpu_vertex(other));
    }
    if (sum > rate * (1 + 1e-9)) {
      table.fail("links", fmt::format("gpu {} has links of {} to other GPUs, but rate = {}", gpu,
                                      config::show(sum), config::show(rate)));
      return;
    }
  }
}

bool is_between_gpus(const Links& links) {
  return links.pairs.front().first.kind == VertexKind::gpu &&
         links.pairs.front().second.kind == VertexKind::gpu;
}

std::string drawing_of(const LinkGraph& graph, const std::vector<Links>& all) {
  std::string text = link_matrix(graph);
  for (const Links& links : all) {
    if (!is_between_gpus(links)) {
      text += fmt::format("{}, {} each way\n", links.name, config::show(links.rate.value));
    }
  }
  return text;
}

std::vector<Fact> facts_of(const std::vector<Links>& all) {
  std::vector<Fact> facts;
  facts.reserve(all.size());
  for (const Links& links : all) {
    facts.push_back(fact("links." + links.name, links.rate));
  }
  return facts;
}

}  // namespace

// cpus, switches, gpus_forward, links. `rate` is that of all links of a GPU to other GPUs.
std::shared_ptr<const NodeWiring> read_wired(Reader& table, NodeSize size, BytesPerSecond rate) {
  const std::size_t mistakes = table.diagnostics().size();
  const config::Range range{0, static_cast<std::int64_t>(kMostHubs)};
  const VertexCounts counts{size.gpus, size.nics,
                            static_cast<std::size_t>(table.count("switches", 0, range)),
                            static_cast<std::size_t>(table.count("cpus", 0, range))};
  const bool forward = table.get<bool>("gpus_forward", false);
  const std::vector<Links> all = read_links(table, counts);
  if (size.gpus > kMostWiredGpus) {
    table.fail("topology", fmt::format("wired holds at most {} GPUs, but gpus_per_node = {}",
                                       kMostWiredGpus, size.gpus));
  }
  if (table.diagnostics().size() != mistakes) {
    return nvswitch();
  }
  LinkGraph graph(counts, forward ? Forwarding::gpus_too : Forwarding::switches_only);
  for (const Links& links : all) {
    for (const auto& [a, b] : links.pairs) {
      graph.join(a, b, links.rate.value);
    }
  }
  if (const std::string mistake = mistake_in(graph); !mistake.empty()) {
    table.fail("links", mistake);
  } else {
    check_rate(table, graph, rate);
  }
  if (table.diagnostics().size() != mistakes) {
    return nvswitch();
  }
  std::string drawing = drawing_of(graph, all);
  return wire({"wired", std::move(graph), facts_of(all), std::move(drawing)});
}

}  // namespace foretrain
