// Runs whole sequences through a causal model, outside of any engine: logits of every position,
// tests of determinism.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kv/paged_cache.h"
#include "model/spec.h"
#include "sched/batch.h"

namespace pyslm::model {

struct Evaluation {
  std::vector<std::span<const int32_t>> sequences;  // tokens of each, from position 0
  std::vector<int> chunks;  // rows that each sequence computes in a step; one, or one for each
  int max_rows = 512;       // of a step, over all sequences
  DType kv_type = DType::kF16;
  int block_tokens = 32;
};

// Computes one batch over the given caches; returns [output_rows x width].
using StepFunction = std::function<const float*(const Batch&, std::span<const PagedCache>)>;
// Takes the output of `num_rows` rows of one sequence, the first of them at `position`.
using RowSink =
    std::function<void(size_t sequence, int64_t position, int64_t num_rows, const float* rows)>;

// All sequences advance together, each by its own chunk, in caches that live for the call. Blocks
// are handed out as the sequences grow, so that tables interleave as they do in an engine.
void evaluate(const ArchSpec& spec, const Evaluation& evaluation, int width,
              const StepFunction& step, const RowSink& sink);

}  // namespace pyslm::model
