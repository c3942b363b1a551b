// SPDX-License-Identifier: Apache-2.0
#include "sim/program/program.hpp"

#include <utility>

namespace foretrain {

std::string_view name_of(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_reduce:
      return "all_reduce";
    case CollectiveKind::all_gather:
      return "all_gather";
    case CollectiveKind::reduce_scatter:
      return "reduce_scatter";
    case CollectiveKind::all_to_all:
      return "all_to_all";
    case CollectiveKind::broadcast:
      return "broadcast";
    case CollectiveKind::reduce:
      return "reduce";
  }
  return "";
}

NameId ProgramBuilder::name(std::string_view text) {
  if (const auto found = names_.find(text); found != names_.end()) {
    return found->second;
  }
  const NameId id(program.names.size());
  program.names.emplace_back(text);
  names_.emplace(std::string(text), id);
  return id;
}

KernelListId ProgramBuilder::kernel_list(std::vector<Kernel> kernels) {
  if (const auto found = lists_.find(kernels); found != lists_.end()) {
    return found->second;
  }
  const KernelListId id(program.kernel_lists.size());
  program.kernel_lists.push_back(kernels);
  lists_.emplace(std::move(kernels), id);
  return id;
}

}  // namespace foretrain
