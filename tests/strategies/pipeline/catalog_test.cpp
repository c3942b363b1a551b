// A schedule that was written but is in no row of the table, or in no CMakeLists.txt, is found.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/source_tree.hpp"

namespace foretrain::testing {
namespace {

using Faults = std::vector<std::string>;

constexpr std::string_view kFolder = "strategies/pipeline/";

std::string without_comments(const std::string& text) {
  return std::regex_replace(text, std::regex("//[^\n]*"), "");
}

// Every function from (shape, stage) to slots at the head of a line in a .cpp of the folder is an
// order that a row names.
Faults schedules_without_row(const std::vector<SourceFile>& files) {
  std::string table;
  for (const SourceFile& file : files) {
    if (file.path == std::string(kFolder) + "catalog.cpp") {
      table = without_comments(file.text);
    }
  }
  const std::regex order(
      "(?:^|\n)std::vector<Slot> (\\w+)\\(const PipelineShape&[^,;)]*,\\s*std::int32_t[^,;)]*\\) "
      "\\{");
  Faults faults;
  for (const SourceFile& file : files) {
    const bool is_here = file.path.starts_with(kFolder) && file.path.ends_with(".cpp");
    const std::string text = is_here ? without_comments(file.text) : "";
    for (std::sregex_iterator found(text.begin(), text.end(), order), end; found != end; ++found) {
      const std::string name = (*found)[1];
      if (table.find(", " + name + ",") == std::string::npos) {
        faults.push_back(file.path + ": no row of catalog.cpp names " + name);
      }
    }
  }
  return faults;
}

SourceFile schedule(const std::string& name) {
  return {std::string(kFolder) + name + ".cpp",
          "std::vector<Slot> " + name +
              "(const PipelineShape& shape, std::int32_t stage) {\n  return {};\n}\n"};
}

std::vector<SourceFile> project() {
  return read_source_tree(std::filesystem::path(FORETRAIN_SOURCE_DIR));
}

}  // namespace

TEST_CASE("a schedule without a row is found", "[repository]") {
  const SourceFile table{std::string(kFolder) + "catalog.cpp",
                         "{\"one\", \"First\", one, accept_all},\n"
                         "// {\"three\", \"Switched off\", three, accept_all},\n"};
  CHECK(schedules_without_row({table, schedule("one"), schedule("two"), schedule("three")}) ==
        Faults{"strategies/pipeline/two.cpp: no row of catalog.cpp names two",
               "strategies/pipeline/three.cpp: no row of catalog.cpp names three"});
}

TEST_CASE("every schedule of the project has a row, and taking any row away is found",
          "[repository]") {
  std::vector<SourceFile> files = project();
  CHECK(schedules_without_row(files) == Faults{});
  const std::regex row("\n    \\{\"[^\n]*");
  for (SourceFile& file : files) {
    if (file.path == std::string(kFolder) + "catalog.cpp") {
      const std::string whole = file.text;
      std::size_t rows = 0;
      for (std::sregex_iterator found(whole.begin(), whole.end(), row), end; found != end;
           ++found) {
        ++rows;
        const auto at = static_cast<std::size_t>(found->position());
        file.text =
            whole.substr(0, at) + whole.substr(at + static_cast<std::size_t>(found->length()));
        CHECK(schedules_without_row(files).size() == 1);
      }
      CHECK(rows >= 12);
    }
  }
}

TEST_CASE("taking the line of any schedule out of CMakeLists.txt is found", "[repository]") {
  std::vector<SourceFile> files = project();
  for (SourceFile& list : files) {
    if (list.path == "strategies/CMakeLists.txt") {
      const std::string whole = list.text;
      for (const char* name : {"breadth_first", "dual_pipe", "dual_pipe_v", "interleaved_zb",
                               "v_half", "v_min", "zb_v"}) {
        const std::string line = "  pipeline/" + std::string(name) + ".cpp\n";
        const std::size_t at = whole.find(line);
        REQUIRE(at != std::string::npos);
        list.text = whole.substr(0, at) + whole.substr(at + line.size());
        CHECK(unlisted_sources(files) == Faults{"strategies/pipeline/" + std::string(name) +
                                                ".cpp: not listed in strategies/CMakeLists.txt"});
      }
    }
  }
}

}  // namespace foretrain::testing
