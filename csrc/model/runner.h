// What the engine needs of whatever computes. The CPU decoder implements it; CUDA, MLX and ONNX
// Runtime follow. No runner inherits from another.
#pragma once

#include <cstdint>
#include <vector>

#include "sched/batch.h"

namespace pyslm {

struct CacheGroupInfo {
  int32_t window = 0;      // sliding window in tokens; 0: full attention
  int32_t num_blocks = 0;  // capacity of the pool
  int32_t block_tokens = 32;
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual int num_vocab() const = 0;
  virtual int hidden_size() const = 0;
  virtual int context_length() const = 0;  // tokens one sequence may hold
  virtual int max_batch_rows() const = 0;  // rows one step may compute
  virtual std::vector<CacheGroupInfo> cache_groups() const = 0;
  // Computes the batch; returns logits [output_rows x num_vocab], valid until the next call.
  virtual const float* forward(const Batch& batch) = 0;
  // As forward, but the final normed hidden states [output_rows x hidden_size].
  virtual const float* hidden(const Batch& batch) = 0;
};

}  // namespace pyslm
