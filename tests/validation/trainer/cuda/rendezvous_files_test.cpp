// Files through which ranks hand each other what NCCL needs to begin.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/rendezvous_files.hpp"

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::trainer::cuda {
namespace {

using namespace std::chrono_literals;

TEST_CASE("a rank waits for what another one tells it, byte for byte", "[trainer]") {
  const foretrain::testing::ScratchFolder folder;
  const RendezvousFiles files(folder.path(), 20s);
  const std::string bytes("a\0b\nc", 5);
  std::thread late([&] {
    std::this_thread::sleep_for(30ms);
    files.publish("group tensor/0 of 3", bytes);
  });
  CHECK(files.await("group tensor/0 of 3") == bytes);
  late.join();
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    CHECK(file.path().extension() != ".part");
  }
}

TEST_CASE("names that differ are files that differ", "[trainer]") {
  const foretrain::testing::ScratchFolder folder;
  const RendezvousFiles files(folder.path(), 1s);
  files.publish("a b", "1");
  files.publish("a/b", "2");
  files.publish("a_32b", "3");
  CHECK(files.await("a b") == "1");
  CHECK(files.await("a/b") == "2");
  CHECK(files.await("a_32b") == "3");
}

TEST_CASE("a rank that does not come is not waited for for ever", "[trainer]") {
  const foretrain::testing::ScratchFolder folder;
  const RendezvousFiles files(folder.path(), 10ms);
  CHECK_THROWS_WITH(files.await("id"), Catch::Matchers::Contains("a rank did not come"));
  const RendezvousFiles nowhere(folder.path() + "/nowhere", 10ms);
  CHECK_THROWS_AS(nowhere.publish("id", "x"), std::runtime_error);
}

}  // namespace
}  // namespace foretrain::trainer::cuda
