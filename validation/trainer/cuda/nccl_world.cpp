// All ranks of a training on GPUs. NCCL's unique ids, and which GPU each rank has, travel through
// files; ranks that share a GPU pose as hosts of their own, because NCCL refuses to share one.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <set>
#include <stdexcept>
#include <unistd.h>

#include "validation/trainer/cuda/check.hpp"
#include "validation/trainer/cuda/nccl_communicator.hpp"
#include "validation/trainer/cuda/rendezvous_files.hpp"

namespace foretrain::trainer {
namespace cuda {
namespace {

constexpr std::chrono::milliseconds kPatience(120'000);  // for a rank that starts late

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) {
    return "unknown";
  }
  return name.data();
}

// Tells which GPU this rank has, reads the others', and says whether any is in two hands.
bool is_gpu_shared(const RendezvousFiles& files, const Rendezvous& where,
                   const CudaDevice& device) {
  const auto file_of = [](int rank) { return "gpu-" + std::to_string(rank); };
  files.publish(file_of(where.rank), host_name() + " " + device.bus_id());
  std::set<std::string> gpus;
  for (int rank = 0; rank < where.size; ++rank) {
    gpus.insert(files.await(file_of(rank)));
  }
  return gpus.size() < static_cast<std::size_t>(where.size);
}

// What the user has set stays, but for the interface that was asked for.
void set_default(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 0); }

// NCCL reads its environment at the first call of the process. "=": that very name, no prefix.
void set_environment(const Rendezvous& where, bool is_shared) {
  if (!where.interface.empty()) {
    ::setenv("NCCL_SOCKET_IFNAME", ("=" + where.interface).c_str(), 1);
  } else {
    set_default("NCCL_SOCKET_IFNAME", "=lo");
  }
  if (!is_shared) {
    return;
  }
  ::setenv("NCCL_HOSTID", ("foretrain-" + std::to_string(where.rank)).c_str(), 1);
  set_default("NCCL_P2P_DISABLE", "1");
  set_default("NCCL_SHM_DISABLE", "1");
  set_default("NCCL_MNNVL_ENABLE", "0");  // NVLink between hosts: these are none
  set_default("NCCL_NVLS_ENABLE", "0");
  set_default("NCCL_IB_DISABLE", "1");
  set_default("NCCL_NET", "Socket");
}

class NcclWorld final : public World {
 public:
  NcclWorld(const Rendezvous& where, CudaDevice& device)
      : World(where.rank, where.size), device_(device), files_(where.directory, kPatience) {
    if (where.size > 1) {
      is_shared_ = is_gpu_shared(files_, where, device);
      set_environment(where, is_shared_);
    }
    interface_ = where.interface.empty() ? "lo" : where.interface;
    number_ = device_.allocate(sizeof(double), Type::int8, MemoryClass::buffers);
    std::vector<int> ranks(static_cast<std::size_t>(where.size));
    for (int rank = 0; rank < where.size; ++rank) {
      ranks[static_cast<std::size_t>(rank)] = rank;
    }
    everyone_ = make_group(ranks, "world of all ranks");
  }

  [[nodiscard]] std::unique_ptr<Communicator> group(const std::vector<int>& ranks,
                                                    const std::string& name) override {
    return make_group(ranks, "group " + name);
  }

  void barrier() override { static_cast<void>(maximum(0)); }

  // On the compute stream; the download waits for it.
  [[nodiscard]] double maximum(double value) override {
    device_.upload(number_, &value);
    everyone_->maximum_of_double(kCompute, number_.tensor().data);
    device_.download(&value, number_);
    return value;
  }

  [[nodiscard]] std::string description() const override {
    int version = 0;
    NCCL_CHECK(ncclGetVersion(&version));  // 22809 is 2.28.9
    std::string text = "NCCL " + std::to_string(version / 10000) + "." +
                       std::to_string(version % 10000 / 100) + "." + std::to_string(version % 100);
    if (is_shared_) {
      text += ", ranks share a GPU and take one another for other hosts: sockets on " + interface_;
    }
    return text;
  }

 private:
  // The first rank of a group makes its id. Groups of one name have different first ranks, since a
  // rank uses a name once.
  [[nodiscard]] std::unique_ptr<NcclCommunicator> make_group(const std::vector<int>& ranks,
                                                             const std::string& name) {
    const auto self = std::find(ranks.begin(), ranks.end(), rank());
    if (self == ranks.end()) {
      throw std::runtime_error("NCCL: rank " + std::to_string(rank()) + " is not in its own " +
                               name);
    }
    const int index = static_cast<int>(self - ranks.begin());
    const int size = static_cast<int>(ranks.size());
    if (size == 1) {
      return std::make_unique<NcclCommunicator>(device_, index, size, nullptr);
    }
    const std::string file = name + " of " + std::to_string(ranks.front());
    ncclUniqueId id{};
    if (index == 0) {
      NCCL_CHECK(ncclGetUniqueId(&id));
      files_.publish(file, std::string(static_cast<const char*>(id.internal), sizeof(id.internal)));
    } else {
      const std::string bytes = files_.await(file);
      if (bytes.size() != sizeof(id.internal)) {
        throw std::runtime_error("NCCL: the id of " + file + " is cut off");
      }
      std::memcpy(static_cast<char*>(id.internal), bytes.data(), bytes.size());
    }
    return std::make_unique<NcclCommunicator>(device_, index, size, &id);
  }

  CudaDevice& device_;
  RendezvousFiles files_;
  bool is_shared_ = false;
  std::string interface_;
  Memory number_;  // one double
  std::unique_ptr<NcclCommunicator> everyone_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<World> nccl_world(const Rendezvous& where, Device& device) {
  auto* gpu = dynamic_cast<cuda::CudaDevice*>(&device);
  if (gpu == nullptr) {
    throw std::runtime_error("NCCL needs a GPU, not " + device.description());
  }
  return std::make_unique<cuda::NcclWorld>(where, *gpu);
}

}  // namespace foretrain::trainer
