// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tables.hpp"

#include <filesystem>
#include <map>
#include <sstream>

namespace foretrain::testing {
namespace {

struct TableRow {
  std::string name;
  std::string function;
};

// The row that a line of a catalogue holds; an empty name when it holds none.
TableRow row_in(const std::string& line) {
  const std::size_t name = line.find_first_not_of(' ');
  if (name == std::string::npos || line.compare(name, 2, "{\"") != 0) {
    return {};
  }
  const std::size_t name_end = line.find('"', name + 2);
  const std::size_t sentence_end = line.rfind('"');
  const std::size_t function = line.find_first_not_of(", ", sentence_end + 1);
  if (function == std::string::npos) {
    return {};
  }
  const std::size_t function_end = line.find_first_of(",} ", function);
  return {line.substr(name + 2, name_end - name - 2),
          line.substr(function, function_end - function)};
}

bool is_called_like(std::string_view function, std::string_view stem) {
  return function == stem ||
         (function.starts_with(stem) && function.substr(stem.size()).starts_with('_'));
}

}  // namespace

std::vector<std::string> table_faults(std::span<const SourceFile> files, std::string_view folder) {
  std::map<std::string, bool> has_row;  // by stem
  std::string table;
  for (const SourceFile& file : files) {
    const std::filesystem::path path = file.path;
    if (path.parent_path() == folder && path.extension() == ".cpp") {
      if (path.stem() == "catalog") {
        table = file.text;
      } else {
        has_row[path.stem().string()] = false;
      }
    }
  }
  std::vector<std::string> faults;
  std::istringstream text(table);
  std::string line;
  while (std::getline(text, line)) {
    const TableRow row = row_in(line);
    if (row.name.empty()) {
      continue;
    }
    std::string longest;
    for (const auto& [stem, used] : has_row) {
      if (is_called_like(row.function, stem) && stem.size() > longest.size()) {
        longest = stem;
      }
    }
    if (longest.empty()) {
      faults.push_back("row '" + row.name + "': no file is called like " + row.function);
    } else {
      has_row[longest] = true;
    }
  }
  for (const auto& [stem, used] : has_row) {
    if (!used) {
      faults.push_back(std::string(folder) + "/" + stem + ".cpp: no row in catalog.cpp");
    }
  }
  return faults;
}

}  // namespace foretrain::testing
