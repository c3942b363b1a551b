// Files that cannot be read, and texts that are no configuration at all.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include "sim/config/value.hpp"
#include "tests/sim/config/reading.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::config {
namespace {

using testing::error_of;

/// A file in the temporary folder that goes away with the object.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, std::size_t size)
      : path_(std::filesystem::temp_directory_path() /
              ("foretrain_" + std::to_string(::getpid()) + name)) {
    std::ofstream(path_, std::ios::binary) << "a = 1\n";
    std::filesystem::resize_file(path_, size);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST_CASE("a file is read whole", "[config]") {
  const TemporaryFile file("small", 6);
  CHECK(read_file(file.path()) == "a = 1\n");
  const TemporaryFile empty("empty", 0);
  CHECK(read_file(empty.path()).empty());
}

TEST_CASE("a file of 16 MiB is read and a larger one refused", "[config]") {
  constexpr std::size_t kLargest = std::size_t{16} << 20;
  const TemporaryFile largest("largest", kLargest);
  CHECK(read_file(largest.path()).size() == kLargest);
  const TemporaryFile larger("larger", kLargest + 1);
  CHECK(error_of([&] { (void)read_file(larger.path()); }) ==
        larger.path() + ": larger than 16 MiB, so this is not a configuration file");
}

TEST_CASE("a missing file and a directory are told apart", "[config]") {
  CHECK(error_of([] { (void)read_file("no/such/file.toml"); }) ==
        "no/such/file.toml: cannot be opened: No such file or directory");
  CHECK(error_of([] { (void)read_file(FORETRAIN_SOURCE_DIR); }) == FORETRAIN_SOURCE_DIR
        ": this is a directory; a file was expected");
}

}  // namespace
}  // namespace foretrain::config
