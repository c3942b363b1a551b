// SPDX-License-Identifier: Apache-2.0
#include "sim/study/generation.hpp"

namespace foretrain {

GenerationMemory generation_memory(const Run& run) {
  GenerationMemory memory;
  memory.batch = run.generation->batch;
  memory.context_length = run.generation->context_length;
  memory.held_tokens = held_tokens(run);
  memory.kv_dtype = run.generation->kv_dtype;
  memory.weight_dtype = run.generation->weight_dtype;
  memory.cache_per_token = cache_per_token(run);
  const bool is_shared = run.parallel.tensor * run.parallel.pipeline > 1;
  for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
    RoleGeneration role;
    role.role = "stage " + std::to_string(stage);
    role.weights = generation_weights(run, stage);
    role.overhead =
        run.stack.context.value + (is_shared ? run.stack.communicators.value : Bytes(0));
    role.cache_per_token = cache_per_token(run, stage);
    role.cache_of_sequence = cache_of_sequence(run, stage);
    role.cache = static_cast<double>(memory.batch) * role.cache_of_sequence;
    role.capacity = run.cluster.least_memory();  // as for training
    memory.roles.push_back(role);
  }
  return memory;
}

}  // namespace foretrain
