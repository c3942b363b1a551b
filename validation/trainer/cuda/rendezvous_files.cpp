// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/rendezvous_files.hpp"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <thread>

namespace foretrain::trainer::cuda {

// Letters, digits, '-' and '.' stand for themselves; others become '_' and their number.
std::string RendezvousFiles::path_of(const std::string& name) const {
  std::string file;
  for (const char letter : name) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) != 0 || letter == '-' || letter == '.') {
      file += letter;
    } else {
      file += '_' + std::to_string(byte);
    }
  }
  return directory_ + "/nccl." + file;
}

void RendezvousFiles::publish(const std::string& name, const std::string& bytes) const {
  const std::string path = path_of(name);
  const std::string unfinished = path + ".part";
  std::ofstream file(unfinished, std::ios::binary);
  file << bytes;
  file.close();
  std::error_code error;
  std::filesystem::rename(unfinished, path, error);
  if (!file || error) {
    throw std::runtime_error("cannot write " + path + " for the other ranks");
  }
}

std::string RendezvousFiles::await(const std::string& name) const {
  constexpr std::chrono::milliseconds kPause(2);
  const std::string path = path_of(name);
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  while (true) {
    if (std::ifstream file(path, std::ios::binary); file) {
      return {std::istreambuf_iterator<char>(file), {}};
    }
    if (std::chrono::steady_clock::now() > deadline) {
      throw std::runtime_error("waited in vain for " + path + ": a rank did not come");
    }
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace foretrain::trainer::cuda
