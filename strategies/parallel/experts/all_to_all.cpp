// Every copy of a token goes by itself to the rank of its expert: of T k h elements that a rank
// holds, (e - 1) / e leave it (Lepikhin et al. 2021, section 3.2; Megatron-Core's default).
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/experts/dispatch.hpp"

namespace foretrain {

std::vector<Collective> dispatch_all_to_all(const ExpertTraffic& traffic) {
  return {{CollectiveKind::all_to_all, kExpertGroup, traffic.copies}};
}

}  // namespace foretrain
