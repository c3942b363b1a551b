// Conformance of every row of the table of blocks, each in a layer of a small model, and of the
// table itself: no block's file may be left out of it, or of the build.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/catalog.hpp"

#include <regex>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "models/blocks/parts.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/source_tree.hpp"

namespace foretrain::testing {
namespace {

// Sizes that a block has no default for are 64, which 16 heads and 4 ranks divide.
Model model_with(const BlockKind& kind) {
  Model model = llama(2, 512, 16);
  if (kind.name == "mixture_of_experts") {
    model.moe = MixtureOfExperts{8, 2, 256, 128, true, 0};
    return model;
  }
  BlockChoice choice{std::string(kind.name), {}};
  for (const SizeKey& size : kind.functions().sizes) {
    choice.sizes.push_back(size.fallback.value_or(64));
  }
  (kind.role == BlockRole::mixer ? model.mixer : model.feed_forward) = choice;
  return model;
}

Work work_of(const BlockKind& kind, const Shard& shard) {
  const Model model = model_with(kind);
  return blocks::serial(model, shard, kind.functions().branch(model, shard));
}

TEST_CASE("a row of the table of blocks is found by its name", "[models]") {
  std::set<std::string_view> names;
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    CHECK(names.insert(kind.name).second);
    CHECK_FALSE(kind.sentence.empty());
    CHECK(&block_kind(kind.name) == &kind);
  }
}

TEST_CASE("the GEMMs of every block are its count of multiply-adds", "[models]") {
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    for (const std::int64_t length :
         {512, 500, 16}) {  // whole chunks, a part of one, less than one
      const BlockCount count = kind.functions().count(model_with(kind), length);
      const Work work = work_of(kind, shard(3, length, 1));
      CHECK(gemm_flops(work.forward) ==
            Approx(2.0 * 3 * static_cast<double>(length) * (count.products + count.core))
                .epsilon(1e-12));
    }
  }
}

TEST_CASE("the backward GEMMs of every block do twice the forward work", "[models]") {
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    const Work work = work_of(kind, shard(2, 512, 2));
    CHECK(gemm_flops(work.backward) == 2 * gemm_flops(work.forward));
  }
}

TEST_CASE("a rank alone holds the parameters that a block counts", "[models]") {
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    const BlockCount count = kind.functions().count(model_with(kind), 512);
    CHECK(work_of(kind, shard(2, 512, 1)).parameters == count.parameters + 512);  // and the norm
    CHECK(count.visited > 0);
    CHECK(count.visited <= count.parameters);
  }
}

TEST_CASE("of every block's work a rank does some whole, and 1/t of the rest", "[models]") {
  // r + w / t: from 1 to 2 ranks twice as much is saved as from 2 to 4, and something is.
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    const auto flops = [&](std::int64_t t) {
      return gemm_flops(work_of(kind, shard(1, 512, t)).forward);
    };
    const auto held = [&](std::int64_t t) { return work_of(kind, shard(1, 512, t)).parameters; };
    CHECK(flops(1) - flops(2) == 2 * (flops(2) - flops(4)));
    CHECK(flops(1) > 1.5 * flops(2));
    CHECK(held(1) - held(2) == 2 * (held(2) - held(4)));
  }
}

TEST_CASE("every block enters and leaves the tensor-parallel region once", "[models]") {
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    const Work work = work_of(kind, shard(1, 512, 2));
    for (const auto* steps : {&work.forward, &work.backward}) {
      CHECK(count_of(*steps, Boundary::enter_tensor_parallel) == 1);
      CHECK(count_of(*steps, Boundary::leave_tensor_parallel) == 1);
    }
  }
}

TEST_CASE("every block keeps its input first, and moves and keeps something each time",
          "[models]") {
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    const Model model = model_with(kind);
    const blocks::Branch branch = kind.functions().branch(model, shard(2, 512, 2));
    CHECK(branch.inside.saved.front().bytes == Bytes(2.0 * 2 * 512 * 512));
    for (const SavedTensor& tensor : branch.inside.saved) {
      INFO(tensor.name);
      CHECK(tensor.bytes > Bytes(0));
    }
    for (const auto* steps : {&branch.inside.forward, &branch.inside.backward}) {
      for (const Step& step : *steps) {
        const auto* memory = std::get_if<MemoryBound>(&step.what);
        INFO(step.name);
        CHECK((memory == nullptr || memory->bytes > Bytes(0)));
      }
    }
  }
}

TEST_CASE("a block that passes a state costs twice as much for twice the sequence", "[models]") {
  for (const BlockKind& kind : block_kinds()) {
    INFO(kind.name);
    const auto flops = [&](std::int64_t length) {
      return gemm_flops(work_of(kind, shard(1, length, 1)).forward);
    };
    const bool is_linear = flops(4096) == 2 * flops(2048);
    const bool has_square = kind.role == BlockRole::mixer && !kind.functions().has_state;
    CHECK(is_linear == !has_square);
  }
}

// What a block's file defines, and what the table and the build must therefore name.
std::set<std::string> blocks_defined_in(const std::vector<SourceFile>& files) {
  static const std::regex kDefinition(R"(\nBlockFunctions (\w+)\(\) \{)");
  std::set<std::string> names;
  for (const SourceFile& file : files) {
    std::smatch match;
    if (std::regex_search(file.text, match, kDefinition)) {
      names.insert(match[1]);
    }
  }
  return names;
}

std::vector<SourceFile> block_files() {
  std::vector<SourceFile> files;
  for (SourceFile& file : read_source_tree(FORETRAIN_SOURCE_DIR)) {
    if (file.path.rfind("models/blocks/", 0) == 0) {
      files.push_back(std::move(file));
    }
  }
  return files;
}

TEST_CASE("a block's file is recognised by the function that it defines", "[models]") {
  const std::vector<SourceFile> files = {
      {"models/blocks/new.cpp", "// x\nBlockFunctions new_mixer() { return {}; }\n"},
      {"models/blocks/part.cpp", "Work part() { return {}; }\n"}};
  CHECK(blocks_defined_in(files) == std::set<std::string>{"new_mixer"});
}

TEST_CASE("every block that a file defines has a row of its name, and every row a file",
          "[models]") {
  std::set<std::string> rows;
  for (const BlockKind& kind : block_kinds()) {
    rows.emplace(kind.name);
  }
  CHECK(blocks_defined_in(block_files()) == rows);
}

TEST_CASE("a block's file that is in no build is found", "[models]") {
  std::vector<SourceFile> files = read_source_tree(FORETRAIN_SOURCE_DIR);
  files.push_back({"models/blocks/new_mixer.cpp", "BlockFunctions new_mixer() { return {}; }\n"});
  CHECK(
      unlisted_sources(files) ==
      std::vector<std::string>{"models/blocks/new_mixer.cpp: not listed in models/CMakeLists.txt"});
}

}  // namespace
}  // namespace foretrain::testing
