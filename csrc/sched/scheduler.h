// Continuous batching: which sequences compute how many tokens in the next step, and which blocks
// hold them.
//
//   decodes first, one row each; then prompts, under a budget of rows shared fairly
//   admission:   first come first served, once the blocks of the whole prompt are free
//   out of blocks: the youngest running sequence gives up its blocks and computes anew later. The
//                  oldest never does, so it finishes, so all finish.
//
// Not thread-safe; the engine calls it under its lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kv/block_pool.h"
#include "model/runner.h"
#include "sched/batch.h"
#include "sched/sequence.h"

namespace pyslm {

struct SchedulerConfig {
  int32_t max_sequences = 16;   // running at once
  int32_t prefill_chunk = 512;  // rows of a step that prompts may take
  int32_t max_batch_rows = 512;
};

// One sequence's part of a step.
struct ScheduledSpan {
  Sequence* sequence;
  int32_t num_rows;

  // The step computes its newest token, so that the next can be chosen.
  bool gives_output() const { return num_rows == sequence->num_owed(); }
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

  int32_t num_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  int32_t num_running() const { return static_cast<int32_t>(running_.size()); }
  int64_t num_preemptions() const { return num_preemptions_; }
  std::vector<int32_t> free_blocks() const;  // per cache group

 private:
  struct Group {
    CacheGroupInfo info;
    BlockPool pool;
  };

  void admit();
  bool can_admit(const Sequence& sequence) const;
  int64_t blocks_for_prompt(const Group& group, const Sequence& sequence) const;
  int64_t peak_blocks(const Group& group, int64_t cached_tokens) const;
  int64_t blocks_promised(size_t group) const;
  std::vector<int32_t> choose_rows() const;
  bool reserve(Sequence& sequence, int32_t num_rows);
  void release_behind_window(Sequence& sequence);
  void release_all(Sequence& sequence);
  void preempt_youngest();

  SchedulerConfig config_;
  std::vector<Group> groups_;
  std::vector<Sequence*> waiting_;  // both oldest first
  std::vector<Sequence*> running_;
  int64_t num_preemptions_ = 0;
};

// The arrays that the runner takes.
Batch build_batch(const std::vector<ScheduledSpan>& plan, size_t num_groups);

}  // namespace pyslm
