// SPDX-License-Identifier: Apache-2.0
//
// The core of linear attention in the chunked form that it is trained with: Yang et al. 2024,
// "Gated Linear Attention Transformers with Hardware-Efficient Training", section 4, equations 8
// to 10.
//
// A head keeps a state of k x v numbers that decays and takes in each token. A chunk of C tokens
// adds to the state at once (K^T V), reads what was there before it (Q S), and its tokens see one
// another through C x C scores. C is a constant of the software, so the cost is linear in the
// sequence.
#include <algorithm>

#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

// Of flash-linear-attention's kernels, the software of that paper's authors (assumed for all).
constexpr std::int64_t kChunk = 64;

std::int64_t chunk_length(std::int64_t sequence) { return std::min(kChunk, sequence); }

std::int64_t num_chunks(std::int64_t sequence) {
  return (sequence + chunk_length(sequence) - 1) / chunk_length(sequence);
}

struct Chunked {
  const Shard& shard;
  std::int64_t c;      ///< tokens of a chunk
  std::int64_t k;      ///< key_dim
  std::int64_t v;      ///< value_dim
  std::int64_t batch;  ///< chunks of all sequences and heads
  double e;
  double tokens;  ///< of all heads

  Chunked(const Shard& sh, const ChunkedShape& shape)
      : shard(sh),
        c(chunk_length(sh.sequence)),
        k(shape.key_dim),
        v(shape.value_dim),
        batch(sh.micro_batch * shape.heads * num_chunks(sh.sequence)),
        e(activation_bytes(sh)),
        tokens(static_cast<double>(batch) * static_cast<double>(c)) {}

  [[nodiscard]] Step gemm(std::string_view name, std::int64_t m, std::int64_t n, std::int64_t inner,
                          GemmPass pass, double output_bytes) const {
    return {name, Gemm{batch, m, n, inner, unquantized(shard.dtype), pass, output_bytes}, true};
  }
  [[nodiscard]] static Step memory(std::string_view name, double bytes) {
    return {name, MemoryBound{MemoryOp::streaming, Bytes(bytes)}, true};
  }
  [[nodiscard]] double states() const {
    return static_cast<double>(batch) * static_cast<double>(k * v);
  }
  [[nodiscard]] double scores() const { return tokens * static_cast<double>(c); }
  [[nodiscard]] double keys() const { return tokens * static_cast<double>(k); }
};

// Queries, keys and decays are read, and queries and keys written scaled by the decay within their
// chunk. States are fp32: read and written by the scan from chunk to chunk.
std::vector<Step> forward_steps(const Chunked& core) {
  const auto pass = GemmPass::forward;
  return {Chunked::memory("chunk_decay", 5 * core.e * core.keys()),
          core.gemm("chunk_state", core.k, core.v, core.c, pass, 4),
          Chunked::memory("state_scan", 8 * core.states()),
          core.gemm("chunk_score", core.c, core.c, core.k, pass, core.e),
          Chunked::memory("chunk_mask", 2 * core.e * core.scores()),
          core.gemm("chunk_intra", core.c, core.v, core.c, pass, core.e),
          core.gemm("chunk_inter", core.c, core.v, core.k, pass, 2 * core.e)};
}

// Each product has two gradients; a scan in the other direction carries those of the states.
std::vector<Step> backward_steps(const Chunked& core) {
  const auto pass = GemmPass::input_gradient;
  return {core.gemm("chunk_inter_query_gradient", core.c, core.k, core.v, pass, core.e),
          core.gemm("chunk_inter_state_gradient", core.k, core.v, core.c, pass, 4),
          core.gemm("chunk_score_gradient", core.c, core.c, core.v, pass, core.e),
          core.gemm("chunk_intra_value_gradient", core.c, core.v, core.c, pass, core.e),
          Chunked::memory("chunk_mask_gradient", 2 * core.e * core.scores()),
          core.gemm("chunk_intra_query_gradient", core.c, core.k, core.c, pass, 2 * core.e),
          core.gemm("chunk_intra_key_gradient", core.c, core.k, core.c, pass, core.e),
          Chunked::memory("state_scan_gradient", 8 * core.states()),
          core.gemm("chunk_state_key_gradient", core.c, core.k, core.v, pass, 2 * core.e),
          core.gemm("chunk_state_value_gradient", core.c, core.v, core.k, pass, 2 * core.e),
          // Reads queries, keys, decays and two gradients, writes three.
          Chunked::memory("chunk_decay_gradient", 8 * core.e * core.keys())};
}

}  // namespace

Work chunked_core(const Shard& shard, const ChunkedShape& shape) {
  const Chunked core(shard, shape);
  Work work;
  work.forward = forward_steps(core);
  work.backward = backward_steps(core);
  work.saved = {{"chunk_states", Bytes(4 * core.states()), true}};
  return work;
}

double chunked_products(const ChunkedShape& shape, std::int64_t sequence_length) {
  const auto c = static_cast<double>(chunk_length(sequence_length));
  const double padded = c * static_cast<double>(num_chunks(sequence_length));
  const auto k = static_cast<double>(shape.key_dim);
  const auto v = static_cast<double>(shape.value_dim);
  return static_cast<double>(shape.heads) * (2 * k * v + c * (k + v)) *
         (padded / static_cast<double>(sequence_length));
}

}  // namespace foretrain::blocks
