// Finds a model: in the catalogue by name, or in a file of ours or of Hugging Face by path.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "models/model.hpp"
#include "sim/config/catalogue.hpp"

namespace foretrain {
namespace {

namespace fs = std::filesystem;

// What people call a config.json is the folder it lies in.
std::string name_of_config(const fs::path& path) {
  const fs::path folder = fs::absolute(path).lexically_normal().parent_path().filename();
  return path.filename() == "config.json" && !folder.empty() ? folder.string()
                                                             : path.stem().string();
}

Model load_hugging_face(config::Sources& sources, const fs::path& path) {
  const std::string file = path.string();
  const config::Value tree = config::parse_json(sources, file, config::read_file(file));
  config::Diagnostics diagnostics;
  config::Reader reader(tree, "", diagnostics);
  Model model = read_hugging_face(reader, name_of_config(path));
  diagnostics.throw_if_any();
  return model;
}

}  // namespace

Model load_model(config::Sources& sources, const std::string& name_or_path,
                 const std::string& directory) {
  fs::path path = config::find_file("model", name_or_path, directory);
  if (fs::is_directory(path)) {
    path /= "config.json";
  }
  if (path.extension() == ".json") {
    return load_hugging_face(sources, path);
  }
  return config::load_toml<Model>(sources, path.string(), read_model);
}

}  // namespace foretrain
