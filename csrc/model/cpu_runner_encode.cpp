// CpuRunner::forward of an encoder, whose keys and values live for one layer of one step.
#include <algorithm>

#include "core/error.h"
#include "model/cpu_runner.h"

namespace pyslm::model {
namespace {

int32_t blocks_for(int32_t tokens, int block_tokens) {
  return (tokens + block_tokens - 1) / block_tokens;
}

// Consecutive blocks of the scratch cache for each span. Returns how many.
int32_t place_in_scratch(Batch& batch, int block_tokens) {
  GroupTable table;
  for (const SequenceSpan& span : batch.spans)
    table.max_blocks = std::max(table.max_blocks, blocks_for(span.num_rows, block_tokens));
  int32_t next_block = 0;
  for (const SequenceSpan& span : batch.spans) {
    const int32_t blocks = blocks_for(span.num_rows, block_tokens);
    for (int32_t b = 0; b < table.max_blocks; ++b)
      table.block_table.push_back(b < blocks ? next_block++ : -1);
  }
  batch.groups.assign(1, std::move(table));
  return next_block;
}

}  // namespace

StepOutputs CpuRunner::encode(Batch batch) {
  packed_cache_.check();
  if (!batch.output_rows.empty())
    fail(ErrorKind::kInvalid, "the architecture ", spec_.architecture,
         " is an encoder: it gives embeddings, not logits; use embed");
  const std::lock_guard lock(mutex_);
  const int32_t num_blocks = place_in_scratch(batch, config_.block_tokens);
  if (!scratch_ || scratch_->shape().num_blocks < num_blocks)
    // F16 whatever the setting: it is small, so fewer bits would save nothing.
    scratch_.emplace(kv_shapes(spec_, DType::kF16, config_.block_tokens, num_blocks).front());
  check_batch(spec_, {&*scratch_, 1}, batch);
  return {.hidden = encoder_->hidden(batch, *scratch_, workspace_)};
}

}  // namespace pyslm::model
