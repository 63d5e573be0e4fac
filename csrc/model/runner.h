// What the engine needs of whatever computes. The CPU decoder implements it; CUDA, MLX and ONNX
// Runtime follow. No runner inherits from another.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/pooling.h"
#include "sched/batch.h"

namespace pyslm {

struct CacheGroupInfo {
  int32_t window = 0;      // sliding window in tokens; 0: full attention
  int32_t num_blocks = 0;  // capacity of the pool
  int32_t block_tokens = 32;
};

struct StepOutputs {
  const float* logits = nullptr;  // [output_rows x num_vocab]
  const float* hidden = nullptr;  // [hidden_rows x hidden_size], after the final norm
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual int num_vocab() const = 0;
  virtual int hidden_size() const = 0;
  virtual int context_length() const = 0;                     // tokens one sequence may hold
  virtual Pooling pooling() const { return Pooling::kLast; }  // of embeddings
  virtual int max_batch_rows() const = 0;                     // rows one step may compute
  virtual std::vector<CacheGroupInfo> cache_groups() const = 0;
  // A span is a whole sequence, from position 0 to its end: encoders, which keep no cache.
  virtual bool whole_sequences() const { return false; }
  // Computes the batch. What it returns is valid until the next call.
  virtual StepOutputs forward(const Batch& batch) = 0;

  // LoRA adapters are named by numbers that are never used twice.
  virtual bool has_adapter(int32_t /*id*/) const { return false; }
  virtual void unload_adapter(int32_t /*id*/) {}

  // Runs body(thread, index) for each index below `count` on the threads that forward() uses, which
  // are idle between its calls; threads count from 0 to num_threads() - 1. body must not throw.
  virtual int num_threads() const { return 1; }
  virtual void parallel(int count, const std::function<void(int thread, int index)>& body) {
    for (int index = 0; index < count; ++index) body(0, index);
  }

  // The keys and values of whole blocks, over all layers of a cache group; of blocks that no
  // forward() is using. A runner that keeps its cache to itself leaves these as they are.
  virtual int64_t block_bytes(int /*group*/) const { return 0; }  // 0: cannot be copied
  virtual void read_block(int /*group*/, int32_t /*block*/, uint8_t* /*out*/) const {}
  virtual void write_block(int /*group*/, int32_t /*block*/, const uint8_t* /*data*/) {}
  // Gives the memory of blocks, in ascending order, back to the system; their content is lost.
  virtual void release_blocks(int /*group*/, std::span<const int32_t> /*blocks*/) {}
};

}  // namespace pyslm
