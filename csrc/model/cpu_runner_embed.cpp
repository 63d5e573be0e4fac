// CpuRunner::embed: texts to vectors, with encoders and with decoders.
#include <algorithm>

#include "core/error.h"
#include "model/cpu_runner.h"
#include "model/pooling.h"

namespace pyslm::model {
namespace {

int32_t blocks_for(size_t tokens, int block_tokens) {
  return static_cast<int32_t>((tokens + block_tokens - 1) / block_tokens);
}

// Texts [begin, end) end to end, with consecutive blocks of the scratch cache.
Batch encoder_batch(const std::vector<std::span<const int32_t>>& texts, size_t begin, size_t end,
                    int block_tokens) {
  Batch batch;
  GroupTable table;
  for (size_t t = begin; t < end; ++t)
    table.max_blocks = std::max(table.max_blocks, blocks_for(texts[t].size(), block_tokens));
  int32_t next_block = 0;
  for (size_t t = begin; t < end; ++t) {
    const auto rows = static_cast<int32_t>(texts[t].size());
    batch.spans.push_back({batch.num_rows(), rows, 0, -1, -1});
    batch.tokens.insert(batch.tokens.end(), texts[t].begin(), texts[t].end());
    for (int32_t i = 0; i < rows; ++i) batch.positions.push_back(i);
    const int32_t blocks = blocks_for(texts[t].size(), block_tokens);
    for (int32_t b = 0; b < table.max_blocks; ++b)
      table.block_table.push_back(b < blocks ? next_block++ : -1);
  }
  batch.groups.push_back(std::move(table));
  return batch;
}

}  // namespace

void CpuRunner::embed(const std::vector<std::span<const int32_t>>& texts, float* out) {
  packed_cache_.check();
  check_sequences(texts);
  if (encoder_) {
    embed_with_encoder(texts, out);
  } else {
    embed_with_decoder(texts, out);
  }
}

void CpuRunner::embed_with_decoder(const std::vector<std::span<const int32_t>>& texts, float* out) {
  Workspace workspace;
  Evaluation evaluation;
  evaluation.sequences = texts;
  evaluation.chunks = {config_.max_batch_rows};
  evaluation.max_rows = config_.max_batch_rows;
  evaluation.kv_type = kv_type_;
  evaluation.block_tokens = config_.block_tokens;
  evaluation.last_rows_only = spec_.pooling == Pooling::kLast;
  const auto step = [&](const Batch& batch, std::span<const PagedCache> caches) {
    const std::lock_guard lock(mutex_);
    return decoder_->hidden(batch, caches, workspace);
  };
  std::vector<std::vector<float>> rows(texts.size());  // of texts that are not complete yet
  evaluate(spec_, evaluation, spec_.hidden, step,
           [&](size_t s, int64_t position, int64_t num_rows, const float* values) {
             rows[s].insert(rows[s].end(), values, values + num_rows * spec_.hidden);
             if (position + num_rows < static_cast<int64_t>(texts[s].size())) return;
             pool_and_normalize(spec_.pooling, rows[s].data(),
                                static_cast<int64_t>(rows[s].size()) / spec_.hidden, spec_.hidden,
                                out + s * spec_.hidden);
             std::vector<float>().swap(rows[s]);
           });
}

void CpuRunner::embed_with_encoder(const std::vector<std::span<const int32_t>>& texts, float* out) {
  // Short texts fill their last block badly: room for twice the blocks that the rows would need.
  const int32_t num_blocks = 2 * blocks_for(config_.max_batch_rows, config_.block_tokens);
  // F16 whatever the setting: it lives for a call, so fewer bits would save nothing.
  const PagedCache scratch(kv_shapes(spec_, DType::kF16, config_.block_tokens, num_blocks).front());
  Workspace workspace;
  for (size_t begin = 0; begin < texts.size();) {
    size_t end = begin, rows = 0;
    int32_t blocks = 0;
    for (; end < texts.size(); ++end) {
      rows += texts[end].size();
      blocks += blocks_for(texts[end].size(), config_.block_tokens);
      if (rows > static_cast<size_t>(config_.max_batch_rows) || blocks > num_blocks) break;
    }
    const Batch batch = encoder_batch(texts, begin, end, config_.block_tokens);
    check_batch(spec_, {&scratch, 1}, batch);
    const std::lock_guard lock(mutex_);
    const float* hidden = encoder_->hidden(batch, scratch, workspace);
    for (size_t t = begin; t < end; ++t)
      pool_and_normalize(spec_.pooling,
                         hidden + int64_t{batch.spans[t - begin].first_row} * spec_.hidden,
                         batch.spans[t - begin].num_rows, spec_.hidden, out + t * spec_.hidden);
    begin = end;
  }
}

}  // namespace pyslm::model
