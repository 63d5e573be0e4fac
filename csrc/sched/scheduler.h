// Continuous batching: which sequences compute how many tokens in the next step, and which blocks
// hold them.
//
//   decodes first, one row each; then prompts, under a budget of rows shared fairly; then drafts,
//   in rows and blocks that nobody else wants
//   order:       by priority, then first come first served; "older" means earlier in this order
//   admission:   once the blocks of the whole prompt are free. For one of a better priority, those
//                of worse priority give way.
//   out of blocks: the youngest running sequence gives up its blocks and computes anew later,
//   mostly
//                  by hits in the prefix cache. The oldest never does, so it finishes, so all
//                  finish.
//   prefixes:    what the cache holds of a prompt is not computed; of several that need the same
//                unit next, the oldest computes it and the others wait for it
//
// Not thread-safe; the engine calls it under its lock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/runner.h"
#include "sched/batch.h"
#include "sched/block_manager.h"
#include "sched/sequence.h"

namespace pyslm {

struct SchedulerConfig {
  int32_t max_sequences = 16;   // running at once
  int32_t prefill_chunk = 512;  // rows of a step that prompts may take
  int32_t max_batch_rows = 512;
  bool prefix_caching = true;
  bool whole_sequences = false;  // a sequence is computed in one step or not at all (encoders)
};

// One sequence's part of a step.
struct ScheduledSpan {
  Sequence* sequence;
  int32_t num_rows;

  // Its last rows, whose outputs are wanted. Of a sequence that generates: its newest token and its
  // draft.
  int32_t num_outputs() const {
    return std::max(0, sequence->num_computed + num_rows - sequence->next_output);
  }
};

class Scheduler {
 public:
  Scheduler(const SchedulerConfig& config, const std::vector<CacheGroupInfo>& groups);

  // Error(kContext) where a sequence of that many cached tokens can never fit the pools.
  void check_fits(int64_t cached_tokens) const;

  // Sequences stay the caller's, and must live until removed.
  void add(Sequence* sequence);
  void remove(Sequence* sequence);  // at any time between steps; frees its blocks

  // Plans a step and reserves its blocks. Empty only where there is nothing to do.
  std::vector<ScheduledSpan> schedule();

  // So many of the sequence's next tokens are in the cache. What the step computed beyond them, of
  // a draft that came out wrong, is computed again.
  void commit(Sequence& sequence, int32_t num_rows);

  int32_t num_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  int32_t num_running() const { return static_cast<int32_t>(running_.size()); }
  // Oldest first. Their drafts may be set between steps; the next step takes what fits.
  const std::vector<Sequence*>& running() const { return running_; }
  int64_t num_preemptions() const { return num_preemptions_; }
  BlockManager& blocks() { return blocks_; }
  const BlockManager& blocks() const { return blocks_; }
  // Error(kInternal) unless the blocks are as the sequences say.
  void verify() const;

 private:
  void admit();
  bool try_admit(Sequence& sequence);
  bool has_room(const Sequence& sequence, const std::vector<PrefixNode*>& hit) const;
  void take_hit(Sequence& sequence, const std::vector<PrefixNode*>& hit);
  int64_t blocks_for_prompt(size_t group, const Sequence& sequence) const;
  int64_t peak_blocks(size_t group, int64_t cached_tokens) const;
  int64_t blocks_promised(size_t group) const;
  bool waits_for_another(size_t index) const;
  std::vector<int32_t> choose_rows() const;
  std::vector<int32_t> choose_whole() const;
  std::vector<int32_t> owed_to_prompts() const;
  void add_drafts(std::vector<int32_t>& rows);
  void preempt_youngest();

  SchedulerConfig config_;
  BlockManager blocks_;
  std::vector<Sequence*> waiting_;  // both oldest first
  std::vector<Sequence*> running_;
  int64_t num_preemptions_ = 0;
};

// The arrays that the runner takes.
Batch build_batch(const std::vector<ScheduledSpan>& plan, size_t num_groups);

}  // namespace pyslm
