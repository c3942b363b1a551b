// Nothing is recomputed.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/recompute/recompute.hpp"

namespace foretrain::recompute {

std::vector<Step> none_again(const Run&, const Work&) { return {}; }
Bytes none_kept(const Run&, const Work& layer) { return saved_bytes(layer); }
Flops none_flops(const Run&) { return Flops(0); }

}  // namespace foretrain::recompute
