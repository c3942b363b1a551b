// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/compression.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "sim/config/quantity.hpp"

namespace foretrain {
namespace {

using config::Alias;
using config::Choice;
using config::Range;
using config::Reader;

constexpr std::array<Alias, 12> kPlaceAliases = {{
    {"gradient", "gradients"},
    {"data", "gradients"},
    {"zero_quantized_gradients", "gradients"},
    {"weights", "parameters"},
    {"zero_quantized_weights", "parameters"},
    {"params", "parameters"},
    {"activations", "tensor"},
    {"tp", "tensor"},
    {"pp", "pipeline"},
    {"moe", "experts"},
    {"expert", "experts"},
    {"dispatch", "experts"},
}};

constexpr std::array<Alias, 10> kWireAliases = {{
    {"compressor", "method"},
    {"algorithm", "method"},
    {"inter_node_only", "between_nodes_only"},
    {"pipelined", "chunks"},
    {"block_size", "block"},
    {"group_size", "block"},
    {"k", "density"},
    {"matrix_approximation_rank", "rank"},
    {"freeze_step", "warm_up"},
    {"dtype", "to"},
}};

double read_option(const CodecOption& option, Reader& reader) {
  if (!option.words.empty()) {
    std::vector<Choice<double>> words;
    for (std::size_t i = 0; i < option.words.size(); ++i) {
      words.push_back({option.words[i], static_cast<double>(i)});
    }
    return reader.choice<double>(option.name, words, option.fallback);
  }
  if (option.is_whole) {
    return static_cast<double>(reader.count(
        option.name, static_cast<std::int64_t>(option.fallback),
        Range{static_cast<std::int64_t>(option.least), static_cast<std::int64_t>(option.most)}));
  }
  const double value = reader.get<double>(option.name, option.fallback);
  if (value < option.least || value > option.most) {
    reader.fail(option.name, "expected a number from " + fmt::format("{}", option.least) + " to " +
                                 fmt::format("{}", option.most));
    return option.fallback;
  }
  return value;
}

std::optional<BytesPerSecond> read_rate(std::string_view key, Reader& reader) {
  const auto rate = reader.maybe<BytesPerSecond>(key);
  if (rate && *rate <= BytesPerSecond(0)) {
    reader.fail(key, "expected a rate above zero");
    return std::nullopt;
  }
  return rate;
}

std::optional<CodecRates> read_rates(Reader& reader) {
  const bool has_encode = reader.has("encode_rate");
  const bool has_decode = reader.has("decode_rate");
  const auto encode = read_rate("encode_rate", reader);
  const auto decode = read_rate("decode_rate", reader);
  if (has_encode != has_decode) {
    reader.fail(has_encode ? "encode_rate" : "decode_rate",
                std::string("needs ") + (has_encode ? "decode_rate" : "encode_rate") +
                    " beside it: a codec is measured both ways, or neither");
  }
  return encode && decode ? std::optional(CodecRates{*encode, *decode}) : std::nullopt;
}

std::optional<WireCompression> read_place(WirePlace place, Reader reader) {
  std::vector<Choice<const Compressor*>> choices;
  for (const Compressor& row : compressors()) {
    choices.push_back({row.name, &row});
  }
  if (!reader.has("method")) {
    (void)reader.get<std::string>("method");  // reports that it is missing
    return std::nullopt;
  }
  WireCompression how;
  how.method = reader.choice<const Compressor*>("method", choices, nullptr);
  if (how.method == nullptr) {
    return std::nullopt;
  }
  for (const CodecOption& option : how.method->codec->options) {
    how.options.set(option.name, read_option(option, reader));
  }
  how.between_nodes_only = reader.get<bool>("between_nodes_only", false);
  how.chunks = reader.count("chunks", 1, Range{1, 256});
  how.rates = read_rates(reader);
  if (!how.method->places.contains(place)) {
    reader.fail("method", "'" + std::string(how.method->name) + "' makes no sense for " +
                              std::string(name_of(place)) + ": " +
                              std::string(how.method->elsewhere));
  }
  reader.finish(kWireAliases);
  return how;
}

}  // namespace

bool Compression::is_none() const {
  return std::none_of(places.begin(), places.end(),
                      [](const auto& how) { return how.has_value(); });
}

Compression read_compression(Reader reader) {
  Compression compression;
  for (const WirePlace place : kWirePlaces) {
    const auto index = static_cast<std::size_t>(place);
    if (auto child = reader.maybe_child(name_of(place))) {
      compression.positions[index] = reader.position_of(name_of(place));
      compression.places[index] = read_place(place, std::move(*child));
    }
  }
  reader.finish(kPlaceAliases);
  return compression;
}

std::vector<std::string> describe(const Compression& compression) {
  std::vector<std::string> lines;
  std::set<const Compressor*> told;
  for (const WirePlace place : kWirePlaces) {
    const WireCompression* how = compression.at(place);
    if (how == nullptr) {
      continue;
    }
    const Codec& codec = *how->method->codec;
    std::string line = fmt::format("{}: {}{}", name_of(place), how->method->name,
                                   how->between_nodes_only ? " between nodes" : "");
    if (codec.full_share != nullptr) {
      line += fmt::format(", but for the first {:g} % of the steps",
                          100 * codec.full_share(how->options));
    }
    if (how->rates) {
      line += fmt::format(", measured to encode at {} and decode at {}",
                          config::show(how->rates->encode), config::show(how->rates->decode));
    }
    if (told.insert(how->method).second) {
      line += fmt::format("; accuracy: {}{}{}", codec.accuracy,
                          codec.assumed.empty() ? "" : "; assumed: ", codec.assumed);
    }
    lines.push_back(line);
  }
  return lines;
}

}  // namespace foretrain
