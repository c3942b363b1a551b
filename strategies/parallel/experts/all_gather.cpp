// All ranks get the tokens of all, and pick those of their own experts; on the way back each
// scatters its part of the sums. (e - 1) T h elements each way: less than an all-to-all where a
// token visits more experts than there are ranks (Megatron-Core's all-gather dispatcher).
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/experts/dispatch.hpp"

namespace foretrain {

std::vector<Collective> dispatch_all_gather(const ExpertTraffic& traffic) {
  return {{CollectiveKind::all_gather, kExpertGroup,
           static_cast<double>(traffic.ranks) * traffic.tokens}};
}

}  // namespace foretrain
