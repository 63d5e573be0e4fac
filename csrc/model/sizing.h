// How many bytes a model takes, and how long a context and how large a pool of blocks fit beside
// its weights. Decided before anything is loaded.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/paged_cache.h"
#include "model/spec.h"

namespace pyslm::model {

struct SizeRequest {
  DType kv_type = DType::kF16;
  int block_tokens = 32;
  int context_length = 0;  // 0: the model's own, or as much of it as fits
  int max_sequences = 1;
  int max_batch_rows = 1;
  int64_t kv_memory = 0;      // bytes of all blocks; 0: the context of max_sequences
  uint64_t tensor_bytes = 0;  // in the file
  int64_t available_bytes = 0;
};

struct Sizes {
  int context_length = 0;
  int32_t num_blocks = 0;    // of each cache group
  int64_t weight_bytes = 0;  // upper bound
  int64_t workspace_bytes = 0;
  int64_t kv_bytes_per_token = 0;  // over all layers
};

// One shape for each cache group of the model.
std::vector<KvShape> kv_shapes(const ArchSpec& spec, DType kv_type, int block_tokens,
                               int32_t num_blocks);

// Error(kMemory), with the numbers, where weights, workspace and one sequence of the context do not
// fit; Error(kInvalid) for a context that the model was not trained for or that kv_memory cannot
// hold.
Sizes plan_sizes(const ArchSpec& spec, const SizeRequest& request);

}  // namespace pyslm::model
