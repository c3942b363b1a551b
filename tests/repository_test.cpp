// SPDX-License-Identifier: Apache-2.0
// Holds the tree to its rules: every source is built, has its head, and is ASCII; every example is
// whole; the version is the same wherever it is written. Each checker is first shown a fault.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/source_tree.hpp"
#include "tests/support/tables.hpp"

namespace foretrain::testing {
namespace {

using Faults = std::vector<std::string>;

const std::filesystem::path& root() {
  static const std::filesystem::path path = FORETRAIN_SOURCE_DIR;
  return path;
}

// What stands between `before` and the next blank or line end, in a file of the repository.
std::string word_after(const std::string& before, const std::string& file) {
  const std::string text = read_text(root() / file);
  const std::size_t at = text.find(before);
  if (at == std::string::npos) {
    return file + " does not say '" + before + "'";
  }
  const std::size_t start = at + before.size();
  return text.substr(start, text.find_first_of(" \n", start) - start);
}

TEST_CASE("a source that no CMakeLists.txt names is found", "[repository]") {
  const std::vector<SourceFile> files = {
      {"models/CMakeLists.txt", "add_library(models STATIC\n  blocks/mlp.cpp\n  model.cpp)\n"},
      {"models/model.cpp", ""},
      {"models/blocks/mlp.cpp", ""},
      {"models/blocks/p.cpp", ""},  // "p.cpp" alone is the end of a listed name
  };
  CHECK(unlisted_sources(files) ==
        Faults{"models/blocks/p.cpp: not listed in models/CMakeLists.txt"});
}

TEST_CASE("every source and test of the project is listed in its CMakeLists.txt", "[repository]") {
  CHECK(unlisted_sources(read_source_tree(root())) == Faults{});
}

TEST_CASE("an algorithm without file, row or CMake line is found", "[repository]") {
  std::vector<SourceFile> files = {
      {"x/CMakeLists.txt", "add_library(x\n  zoo/catalog.cpp\n  zoo/ape.cpp\n  zoo/ape_red.cpp)\n"},
      {"x/zoo/ape.cpp", ""},
      {"x/zoo/ape_red.cpp", ""},
      {"x/zoo/catalog.cpp",
       "    {\"ape\", \"An ape, or two\", ape_size},\n"
       "    {\"red-ape\", \"A red \\\"ape\\\"\", ape_red_size, ape_size},\n"},
  };
  CHECK(table_faults(files, "x/zoo") == Faults{});
  CHECK(unlisted_sources(files) == Faults{});
  SECTION("the row") {
    files[3].text = "    {\"ape\", \"An ape\", ape_size},\n";
    CHECK(table_faults(files, "x/zoo") == Faults{"x/zoo/ape_red.cpp: no row in catalog.cpp"});
  }
  SECTION("the file") {
    files[3].text += "    {\"emu\", \"An emu\", emu_size},\n";
    CHECK(table_faults(files, "x/zoo") == Faults{"row 'emu': no file is called like emu_size"});
  }
  SECTION("the line in CMakeLists.txt") {
    files[0].text = "add_library(x\n  zoo/catalog.cpp\n  zoo/ape_red.cpp)\n";
    CHECK(unlisted_sources(files) == Faults{"x/zoo/ape.cpp: not listed in x/CMakeLists.txt"});
  }
}

TEST_CASE("every optimizer and recomputation policy of the project has a file and a row",
          "[repository]") {
  const std::vector<SourceFile> files = read_source_tree(root());
  CHECK(table_faults(files, "strategies/optimizer") == Faults{});
  CHECK(table_faults(files, "strategies/recompute") == Faults{});
}

TEST_CASE("a file without licence line or purpose is found", "[repository]") {
  const std::vector<SourceFile> files = {
      {"a.cpp", "// SPDX-License-Identifier: Apache-2.0\n// What it is for.\n"},
      {"b.hpp", "#pragma once\n"},
      {"c.cpp", "// SPDX-License-Identifier: Apache-2.0\n#include \"c.hpp\"\n"},
      {"c.hpp", "// Says it for c.cpp too.\n// SPDX-License-Identifier: Apache-2.0\n"},
      {"d.toml", "x = 1\n"},
      {"e.hpp", "// What it is for. SPDX-License-Identifier: Apache-2.0\n"},
  };
  CHECK(files_without_head(files) ==
        Faults{"b.hpp: no line '// SPDX-License-Identifier: Apache-2.0' at its head",
               "b.hpp: no comment at its head that says what it is for",
               "e.hpp: no line '// SPDX-License-Identifier: Apache-2.0' at its head"});
}

TEST_CASE("every file of the project says its licence and its purpose at its head",
          "[repository]") {
  CHECK(files_without_head(read_source_tree(root())) == Faults{});
}

TEST_CASE("a letter beyond ASCII is found with its line", "[repository]") {
  CHECK(lines_beyond_ascii(std::vector<SourceFile>{{"a.md", "x\ny \xC3\xA9\n"}}) ==
        Faults{"a.md:2: not ASCII"});
}

TEST_CASE("every file of the project is ASCII", "[repository]") {
  CHECK(lines_beyond_ascii(read_source_tree(root())) == Faults{});
}

TEST_CASE("CITATION.cff and CMakeLists.txt state the same version", "[repository]") {
  CHECK(word_after("\nversion: ", "CITATION.cff") ==
        word_after("project(foretrain VERSION ", "CMakeLists.txt"));
}

TEST_CASE("every example has something to run, an expected output and a README", "[repository]") {
  for (const auto& folder : std::filesystem::directory_iterator(root() / "examples")) {
    const bool is_runnable = std::filesystem::exists(folder.path() / "run.toml") ||
                             std::filesystem::exists(folder.path() / "command");
    CHECK(is_runnable);
    for (const char* file : {"expected.txt", "README.md"}) {
      INFO(folder.path() << " needs " << file);
      CHECK(std::filesystem::exists(folder.path() / file));
    }
  }
}

TEST_CASE("the readme shows what the demo prints", "[repository]") {
  const auto text_of = [](const std::filesystem::path& path) {
    std::ifstream file(path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string printed = text_of(root() / "examples/gpt_neox_20b/expected.txt");
  CHECK_FALSE(printed.empty());
  CHECK(text_of(root() / "README.md").find("```\n" + printed + "```") != std::string::npos);
}

}  // namespace
}  // namespace foretrain::testing
