#include "model/evaluate.h"

#include <algorithm>

#include "core/error.h"
#include "model/sizing.h"

namespace pyslm::model {
namespace {

class Evaluator {
 public:
  Evaluator(const ArchSpec& spec, const Evaluation& evaluation);
  bool next_batch();  // false when every sequence is at its end
  void deliver(const float* rows, int width, const RowSink& sink) const;

  const Batch& batch() const { return batch_; }
  std::span<const PagedCache> caches() const { return caches_; }

 private:
  int64_t length(size_t s) const { return static_cast<int64_t>(evaluation_.sequences[s].size()); }
  int chunk(size_t s) const { return evaluation_.chunks[evaluation_.chunks.size() == 1 ? 0 : s]; }
  void add_span(size_t s, int32_t rows);
  void write_tables();

  const Evaluation& evaluation_;
  std::vector<PagedCache> caches_;
  std::vector<int64_t> done_;                 // tokens of each sequence in the cache
  std::vector<std::vector<int32_t>> blocks_;  // of each sequence, the same in every group
  std::vector<size_t> members_;               // sequence of each span of the batch
  int32_t next_block_ = 0;
  Batch batch_;
};

Evaluator::Evaluator(const ArchSpec& spec, const Evaluation& evaluation)
    : evaluation_(evaluation),
      done_(evaluation.sequences.size(), 0),
      blocks_(evaluation.sequences.size()) {
  int64_t num_blocks = 0;
  for (size_t s = 0; s < done_.size(); ++s)
    num_blocks += (length(s) + evaluation.block_tokens - 1) / evaluation.block_tokens;
  for (const KvShape& shape : kv_shapes(spec, evaluation.kv_type, evaluation.block_tokens,
                                        static_cast<int32_t>(num_blocks)))
    caches_.emplace_back(shape);
  batch_.groups.resize(caches_.size());
}

void Evaluator::add_span(size_t s, int32_t rows) {
  SequenceSpan span{};
  span.first_row = batch_.num_rows();
  span.num_rows = rows;
  span.start = static_cast<int32_t>(done_[s]);
  span.state_slot = span.adapter = -1;
  for (int32_t i = 0; i < rows; ++i) {
    batch_.tokens.push_back(evaluation_.sequences[s][span.start + i]);
    batch_.positions.push_back(span.start + i);
    batch_.output_rows.push_back(span.first_row + i);
  }
  done_[s] += rows;
  while (static_cast<int64_t>(blocks_[s].size()) * evaluation_.block_tokens < done_[s])
    blocks_[s].push_back(next_block_++);
  batch_.spans.push_back(span);
  members_.push_back(s);
}

void Evaluator::write_tables() {
  size_t columns = 0;
  for (size_t s : members_) columns = std::max(columns, blocks_[s].size());
  for (GroupTable& group : batch_.groups) {
    group.max_blocks = static_cast<int32_t>(columns);
    group.block_table.assign(members_.size() * columns, -1);
    for (size_t i = 0; i < members_.size(); ++i)
      std::copy(blocks_[members_[i]].begin(), blocks_[members_[i]].end(),
                group.block_table.begin() + i * columns);
  }
}

bool Evaluator::next_batch() {
  batch_.tokens.clear();
  batch_.positions.clear();
  batch_.output_rows.clear();
  batch_.spans.clear();
  members_.clear();
  for (size_t s = 0; s < done_.size(); ++s) {
    const int64_t rows = std::min<int64_t>(
        {chunk(s), length(s) - done_[s], evaluation_.max_rows - batch_.num_rows()});
    if (rows > 0) add_span(s, static_cast<int32_t>(rows));
  }
  write_tables();
  return !members_.empty();
}

void Evaluator::deliver(const float* rows, int width, const RowSink& sink) const {
  int64_t taken = 0;
  for (size_t i = 0; i < members_.size(); ++i) {
    const SequenceSpan& span = batch_.spans[i];
    sink(members_[i], span.start, span.num_rows, rows + taken * width);
    taken += span.num_rows;
  }
}

}  // namespace

void evaluate(const ArchSpec& spec, const Evaluation& evaluation, int width,
              const StepFunction& step, const RowSink& sink) {
  const size_t chunks = evaluation.chunks.size();
  if (chunks != 1 && chunks != evaluation.sequences.size())
    fail(ErrorKind::kInvalid, chunks, " chunk sizes for ", evaluation.sequences.size(),
         " sequences; allowed: 1, or one for each");
  for (int chunk : evaluation.chunks)
    if (chunk < 1) fail(ErrorKind::kInvalid, "chunk is ", chunk, "; allowed: at least 1");
  Evaluator evaluator(spec, evaluation);
  while (evaluator.next_batch())
    evaluator.deliver(step(evaluator.batch(), evaluator.caches()), width, sink);
}

}  // namespace pyslm::model
