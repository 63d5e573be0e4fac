#include <algorithm>

#include "core/error.h"
#include "model/decoder.h"

namespace pyslm::model {
namespace {

void check_ascending(const char* kind, const std::vector<int32_t>& wanted, int32_t num_rows) {
  int32_t previous = -1;
  for (const int32_t row : wanted) {
    if (row <= previous || row >= num_rows)
      fail(ErrorKind::kInvalid, kind, " row ", row, " after ", previous,
           "; allowed: ascending, below ", num_rows);
    previous = row;
  }
}

void check_rows(const ArchSpec& spec, const Batch& batch) {
  const size_t rows = batch.positions.size();
  if (rows == 0) fail(ErrorKind::kInvalid, "the batch has no rows; allowed: at least 1");
  if (batch.embeddings.empty() && batch.tokens.size() != rows)
    fail(ErrorKind::kInvalid, "the batch has ", batch.tokens.size(), " tokens for ", rows,
         " positions");
  if (!batch.embeddings.empty() && batch.embeddings.size() != rows * spec.hidden)
    fail(ErrorKind::kInvalid, "the batch has ", batch.embeddings.size(), " embedding values for ",
         rows, " rows of ", spec.hidden);
  for (int32_t token : batch.tokens)
    if (token < 0 || token >= spec.vocab)
      fail(ErrorKind::kInvalid, "token id ", token, "; allowed: 0 to ", spec.vocab - 1);
  check_ascending("output", batch.output_rows, batch.num_rows());
  check_ascending("hidden", batch.hidden_rows, batch.num_rows());
  for (const int32_t row : batch.hidden_rows)
    if (std::binary_search(batch.output_rows.begin(), batch.output_rows.end(), row))
      fail(ErrorKind::kInvalid, "row ", row, " is wanted both as logits and as hidden state");
}

void check_spans(const Batch& batch) {
  int32_t next = 0;
  for (const SequenceSpan& span : batch.spans) {
    if (span.first_row != next || span.num_rows < 1 || span.start < 0 ||
        span.num_rows > batch.num_rows() - next)
      fail(ErrorKind::kInvalid, "a span of ", span.num_rows, " rows from row ", span.first_row,
           " at position ", span.start, "; allowed: spans end to end within ", batch.num_rows(),
           " rows, row ", next, " next");
    for (int32_t i = 0; i < span.num_rows; ++i)
      if (batch.positions[span.first_row + i] != span.start + i)
        fail(ErrorKind::kInvalid, "row ", span.first_row + i, " has position ",
             batch.positions[span.first_row + i], "; expected ", span.start + i);
    next += span.num_rows;
  }
  if (next != batch.num_rows())
    fail(ErrorKind::kInvalid, "the spans cover ", next, " of ", batch.num_rows(), " rows");
}

// Every block that attention will read or write. Windows have let go of those before.
void check_table(const GroupTable& table, size_t num_spans, const KvShape& shape, int window,
                 const Batch& batch) {
  if (table.max_blocks < 0 || table.block_table.size() != num_spans * table.max_blocks)
    fail(ErrorKind::kInvalid, "a block table of ", table.block_table.size(), " entries for ",
         num_spans, " spans of ", table.max_blocks, " blocks");
  for (size_t s = 0; s < num_spans; ++s) {
    const SequenceSpan& span = batch.spans[s];
    const int32_t first = window ? std::max(0, span.start - window + 1) / shape.block_tokens : 0;
    const int32_t last = (span.start + span.num_rows - 1) / shape.block_tokens;
    if (last >= table.max_blocks)
      fail(ErrorKind::kInvalid, "sequence ", s, " needs ", last + 1, " blocks; its table has ",
           table.max_blocks);
    for (int32_t b = first; b <= last; ++b)
      if (const int32_t id = table.block_table[s * table.max_blocks + b];
          id < 0 || id >= shape.num_blocks)
        fail(ErrorKind::kInvalid, "sequence ", s, " has block ", id, " at position ",
             b * shape.block_tokens, "; allowed: 0 to ", shape.num_blocks - 1);
  }
}

}  // namespace

void check_batch(const ArchSpec& spec, std::span<const PagedCache> caches, const Batch& batch) {
  check_rows(spec, batch);
  check_spans(batch);
  if (batch.groups.size() != caches.size())
    fail(ErrorKind::kInvalid, "the batch has ", batch.groups.size(), " cache groups; the model ",
         caches.size());
  const std::vector<CacheGroupSpec> groups = cache_groups(spec);
  for (size_t g = 0; g < caches.size(); ++g)
    check_table(batch.groups[g], batch.spans.size(), caches[g].shape(), groups[g].window, batch);
}

}  // namespace pyslm::model
