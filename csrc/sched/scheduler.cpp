#include "sched/scheduler.h"

#include <algorithm>

#include "core/error.h"
#include "sched/fair_shares.h"

namespace pyslm {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void insert_by_age(std::vector<Sequence*>& sequences, Sequence* sequence) {
  const auto older = [](const Sequence* a, const Sequence* b) { return a->id < b->id; };
  sequences.insert(std::upper_bound(sequences.begin(), sequences.end(), sequence, older), sequence);
}

void check_group(const CacheGroupInfo& info) {
  if (info.window >= 0 && info.num_blocks >= 1 && info.block_tokens >= 1) return;
  fail(ErrorKind::kInvalid, "a cache group of ", info.num_blocks, " blocks of ", info.block_tokens,
       " tokens with window ", info.window,
       "; blocks and tokens must be at least 1, window 0 or more");
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, const std::vector<CacheGroupInfo>& groups)
    : config_(config) {
  for (const CacheGroupInfo& info : groups) {
    check_group(info);
    groups_.push_back({info, BlockPool(info.num_blocks)});
  }
}

void Scheduler::check_fits(int64_t cached_tokens) const {
  for (const Group& group : groups_) {
    const int64_t needed = peak_blocks(group, cached_tokens);
    if (needed <= group.info.num_blocks) continue;
    fail(ErrorKind::kContext, "the request may hold ", cached_tokens, " tokens, which take ",
         needed, " cache blocks of ", group.info.block_tokens, " tokens; the pool has ",
         group.info.num_blocks,
         ". Shorten the prompt, lower max_tokens or give the cache more memory");
  }
}

void Scheduler::add(Sequence* sequence) {
  sequence->status = SequenceStatus::kWaiting;
  sequence->tables.assign(groups_.size(), {});
  insert_by_age(waiting_, sequence);
}

void Scheduler::remove(Sequence* sequence) {
  std::erase(waiting_, sequence);
  std::erase(running_, sequence);
  release_all(*sequence);
  sequence->status = SequenceStatus::kFinished;
}

std::vector<ScheduledSpan> Scheduler::schedule() {
  for (Sequence* sequence : running_) release_behind_window(*sequence);
  admit();
  const std::vector<int32_t> rows = choose_rows();
  // Oldest first, and only the youngest yields: who has its blocks here keeps them.
  size_t num_secured = 0;
  while (num_secured < running_.size()) {
    if (reserve(*running_[num_secured], rows[num_secured])) {
      ++num_secured;
    } else {
      preempt_youngest();
    }
  }
  std::vector<ScheduledSpan> plan;
  for (size_t i = 0; i < num_secured; ++i) {
    if (rows[i] > 0) plan.push_back({running_[i], rows[i]});
  }
  std::stable_partition(plan.begin(), plan.end(),
                        [](const ScheduledSpan& s) { return s.sequence->decoding(); });
  return plan;
}

std::vector<int32_t> Scheduler::free_blocks() const {
  std::vector<int32_t> result;
  for (const Group& group : groups_) result.push_back(group.pool.num_free());
  return result;
}

void Scheduler::admit() {
  // Every running sequence may need a row, so there are never more of them than rows.
  const auto limit = static_cast<size_t>(std::min(config_.max_sequences, config_.max_batch_rows));
  while (!waiting_.empty() && running_.size() < limit && can_admit(*waiting_.front())) {
    Sequence* sequence = waiting_.front();
    waiting_.erase(waiting_.begin());
    sequence->status = SequenceStatus::kRunning;
    insert_by_age(running_, sequence);
  }
}

bool Scheduler::can_admit(const Sequence& sequence) const {
  if (running_.empty()) return true;  // check_fits() saw to it that the empty pools suffice
  for (size_t g = 0; g < groups_.size(); ++g) {
    // One spare block for each that runs, else a newcomer would soon be preempted again.
    const int64_t needed = blocks_for_prompt(groups_[g], sequence) + blocks_promised(g) +
                           static_cast<int64_t>(running_.size());
    if (needed > groups_[g].pool.num_free()) return false;
  }
  return true;
}

int64_t Scheduler::blocks_for_prompt(const Group& group, const Sequence& sequence) const {
  return peak_blocks(group, sequence.num_tokens());
}

// The most blocks that a sequence growing to `cached_tokens` holds at any one time.
int64_t Scheduler::peak_blocks(const Group& group, int64_t cached_tokens) const {
  const int64_t block_tokens = group.info.block_tokens;
  const int64_t all = ceil_div(cached_tokens, block_tokens);
  if (group.info.window == 0) return all;
  // A step of n rows touches the n new tokens and the window - 1 before them; a run of that many
  // tokens touches one block more when it starts at a block's last token.
  const int64_t most_rows = std::min(config_.prefill_chunk, config_.max_batch_rows);
  const int64_t span = group.info.window - 1 + most_rows;
  return std::min(all, (span + block_tokens - 2) / block_tokens + 1);
}

// Blocks that running sequences still need for the prompts they were admitted with.
int64_t Scheduler::blocks_promised(size_t group) const {
  int64_t promised = 0;
  for (const Sequence* sequence : running_) {
    if (sequence->decoding()) continue;
    const int64_t needed = blocks_for_prompt(groups_[group], *sequence);
    promised += std::max<int64_t>(0, needed - sequence->tables[group].num_held());
  }
  return promised;
}

// Rows of the next step for each running sequence; 0: not in this step.
std::vector<int32_t> Scheduler::choose_rows() const {
  std::vector<int32_t> owed;
  int32_t num_decodes = 0;
  for (const Sequence* sequence : running_) {
    if (sequence->decoding()) {
      ++num_decodes;
    } else {
      owed.push_back(sequence->num_owed());
    }
  }
  const int32_t budget = std::min(config_.prefill_chunk, config_.max_batch_rows - num_decodes);
  const std::vector<int32_t> shares = fair_shares(owed, budget);
  std::vector<int32_t> rows;
  auto share = shares.begin();
  for (const Sequence* sequence : running_) rows.push_back(sequence->decoding() ? 1 : *share++);
  return rows;
}

// All groups or none.
bool Scheduler::reserve(Sequence& sequence, int32_t num_rows) {
  const auto missing = [&](size_t g) {
    const int64_t total = ceil_div(sequence.num_computed + num_rows, groups_[g].info.block_tokens);
    return total - static_cast<int64_t>(sequence.tables[g].blocks.size());
  };
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (missing(g) > groups_[g].pool.num_free()) return false;
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (int64_t n = missing(g); n > 0; --n) {
      sequence.tables[g].blocks.push_back(groups_[g].pool.allocate());
    }
  }
  return true;
}

// The next row at position p sees the tokens (p - window, p].
void Scheduler::release_behind_window(Sequence& sequence) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const CacheGroupInfo& info = groups_[g].info;
    if (info.window == 0) continue;
    BlockTable& table = sequence.tables[g];
    const int32_t first_seen = std::max(0, sequence.num_computed - info.window + 1);
    const int32_t first_needed = first_seen / info.block_tokens;
    for (; table.first_held < first_needed; ++table.first_held) {
      int32_t& block = table.blocks[static_cast<size_t>(table.first_held)];
      groups_[g].pool.free(block);
      block = -1;
    }
  }
}

void Scheduler::release_all(Sequence& sequence) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    BlockTable& table = sequence.tables[g];
    // Last first: the pool is a stack, so the next sequence finds them in order.
    while (table.num_held() > 0) {
      groups_[g].pool.free(table.blocks.back());
      table.blocks.pop_back();
    }
    table = {};
  }
}

void Scheduler::preempt_youngest() {
  Sequence* victim = running_.back();
  running_.pop_back();
  release_all(*victim);
  victim->num_computed = 0;
  victim->status = SequenceStatus::kWaiting;
  insert_by_age(waiting_, victim);
  ++num_preemptions_;
}

Batch build_batch(const std::vector<ScheduledSpan>& plan, size_t num_groups) {
  Batch batch;
  batch.groups.resize(num_groups);
  for (size_t g = 0; g < num_groups; ++g) {
    size_t columns = 0;
    for (const ScheduledSpan& span : plan) {
      columns = std::max(columns, span.sequence->tables[g].blocks.size());
    }
    batch.groups[g].max_blocks = static_cast<int32_t>(columns);
    batch.groups[g].block_table.reserve(columns * plan.size());
  }
  for (const ScheduledSpan& span : plan) {
    const Sequence& sequence = *span.sequence;
    const int32_t start = sequence.num_computed;
    batch.spans.push_back(
        {.first_row = batch.num_rows(), .num_rows = span.num_rows, .start = start});
    for (int32_t i = start; i < start + span.num_rows; ++i) {
      batch.tokens.push_back(sequence.tokens[static_cast<size_t>(i)]);
      batch.positions.push_back(i);
    }
    if (span.gives_output()) batch.output_rows.push_back(batch.num_rows() - 1);
    for (size_t g = 0; g < num_groups; ++g) {
      const std::vector<int32_t>& blocks = sequence.tables[g].blocks;
      std::vector<int32_t>& table = batch.groups[g].block_table;
      table.insert(table.end(), blocks.begin(), blocks.end());
      const size_t padding = static_cast<size_t>(batch.groups[g].max_blocks) - blocks.size();
      table.insert(table.end(), padding, -1);
    }
  }
  return batch;
}

}  // namespace pyslm
