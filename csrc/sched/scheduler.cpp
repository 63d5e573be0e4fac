#include "sched/scheduler.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "sched/fair_shares.h"

namespace pyslm {
namespace {

// Logits of a vocabulary of 256 k in so many rows are 128 MiB.
constexpr int32_t kMaxScoredRows = 128;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

void insert_in_order(std::vector<Sequence*>& sequences, Sequence* sequence) {
  const auto before = [](const Sequence* a, const Sequence* b) { return a->before(*b); };
  sequences.insert(std::upper_bound(sequences.begin(), sequences.end(), sequence, before),
                   sequence);
}

}  // namespace

Scheduler::Scheduler(const SchedulerConfig& config, const std::vector<CacheGroupInfo>& groups)
    : config_(config), blocks_(groups, config.prefix_caching && !groups.empty()) {}

void Scheduler::check_fits(int64_t cached_tokens) const {
  for (size_t g = 0; g < blocks_.num_groups(); ++g) {
    const int64_t needed = peak_blocks(g, cached_tokens);
    const CacheGroupInfo& info = blocks_.info(g);
    if (needed <= info.num_blocks) continue;
    fail(ErrorKind::kContext, "the request may hold ", cached_tokens, " tokens, which take ",
         needed, " cache blocks of ", info.block_tokens, " tokens; the pool has ", info.num_blocks,
         ". Shorten the prompt, lower max_tokens or give the cache more memory");
  }
}

void Scheduler::add(Sequence* sequence) {
  sequence->status = SequenceStatus::kWaiting;
  sequence->tables.assign(blocks_.num_groups(), {});
  insert_in_order(waiting_, sequence);
}

void Scheduler::remove(Sequence* sequence) {
  std::erase(waiting_, sequence);
  std::erase(running_, sequence);
  blocks_.release(*sequence);
  sequence->status = SequenceStatus::kFinished;
}

std::vector<ScheduledSpan> Scheduler::schedule() {
  for (Sequence* sequence : running_) blocks_.release_behind_window(*sequence);
  for (Sequence* sequence : running_) {
    if (!sequence->decoding()) take_hit(*sequence, blocks_.find_hit(*sequence));
  }
  admit();
  std::vector<int32_t> rows = config_.whole_sequences ? choose_whole() : choose_rows();
  // Oldest first, and only the youngest yields: who has its blocks here keeps them.
  size_t num_secured = 0;
  while (num_secured < running_.size()) {
    if (blocks_.reserve(*running_[num_secured], rows[num_secured])) {
      ++num_secured;
    } else {
      preempt_youngest();
    }
  }
  rows.resize(num_secured);
  add_drafts(rows);
  std::vector<ScheduledSpan> plan;
  for (size_t i = 0; i < num_secured; ++i) {
    if (rows[i] > 0) plan.push_back({running_[i], rows[i]});
  }
  std::stable_partition(plan.begin(), plan.end(),
                        [](const ScheduledSpan& s) { return s.sequence->decoding(); });
  return plan;
}

void Scheduler::commit(Sequence& sequence, int32_t num_rows) {
  sequence.num_computed += num_rows;
  sequence.draft.clear();
  blocks_.publish(sequence);
}

void Scheduler::verify() const {
  std::vector<const Sequence*> sequences(running_.begin(), running_.end());
  sequences.insert(sequences.end(), waiting_.begin(), waiting_.end());
  blocks_.verify(sequences);
}

void Scheduler::admit() {
  while (!waiting_.empty()) {
    Sequence* sequence = waiting_.front();
    if (try_admit(*sequence)) {
      waiting_.erase(waiting_.begin());
    } else if (!running_.empty() && running_.back()->priority > sequence->priority) {
      preempt_youngest();
    } else {
      return;
    }
  }
}

bool Scheduler::try_admit(Sequence& sequence) {
  // Every running sequence may need a row, so there are never more of them than rows.
  const auto limit = static_cast<size_t>(std::min(config_.max_sequences, config_.max_batch_rows));
  if (running_.size() >= limit) return false;
  const std::vector<PrefixNode*> hit = blocks_.find_hit(sequence);
  if (!has_room(sequence, hit)) return false;
  blocks_.open(sequence);
  take_hit(sequence, hit);
  sequence.status = SequenceStatus::kRunning;
  insert_in_order(running_, &sequence);
  return true;
}

bool Scheduler::has_room(const Sequence& sequence, const std::vector<PrefixNode*>& hit) const {
  if (running_.empty()) return true;  // check_fits() saw to it that the empty pools suffice
  for (size_t g = 0; g < blocks_.num_groups(); ++g) {
    // One spare block for each that runs, else a newcomer would soon be preempted again.
    int64_t needed =
        blocks_for_prompt(g, sequence) + blocks_promised(g) + static_cast<int64_t>(running_.size());
    // Shared blocks that slide out of a window are no help to what comes after them.
    if (blocks_.info(g).window == 0) needed -= blocks_.num_shared(g, hit);
    if (needed > blocks_.pool(g).num_free()) return false;
  }
  return true;
}

void Scheduler::take_hit(Sequence& sequence, const std::vector<PrefixNode*>& hit) {
  const int32_t num_tokens = blocks_.adopt(sequence, hit);
  // What it computed itself before a preemption is no gift.
  if (!sequence.was_preempted) sequence.num_cached += num_tokens;
}

int64_t Scheduler::blocks_for_prompt(size_t group, const Sequence& sequence) const {
  return peak_blocks(group, sequence.num_tokens());
}

// The most blocks that a sequence growing to `cached_tokens` holds at any one time.
int64_t Scheduler::peak_blocks(size_t group, int64_t cached_tokens) const {
  const CacheGroupInfo& info = blocks_.info(group);
  const int64_t all = ceil_div(cached_tokens, info.block_tokens);
  if (info.window == 0) return all;
  // A step of n rows touches the n new tokens and the window - 1 before them; a run of that many
  // tokens touches one block more when it starts at a block's last token.
  const int64_t most_rows = std::min(config_.prefill_chunk, config_.max_batch_rows);
  const int64_t span = info.window - 1 + most_rows;
  return std::min(all, (span + info.block_tokens - 2) / info.block_tokens + 1);
}

// Blocks that running sequences still need for the prompts they were admitted with.
int64_t Scheduler::blocks_promised(size_t group) const {
  int64_t promised = 0;
  for (const Sequence* sequence : running_) {
    if (sequence->decoding()) continue;
    const int64_t needed = blocks_for_prompt(group, *sequence);
    promised += std::max<int64_t>(0, needed - sequence->tables[group].num_held());
  }
  return promised;
}

// An older one computes, in this step or the next, the very unit that running_[index] needs next.
bool Scheduler::waits_for_another(size_t index) const {
  if (!blocks_.may_wait_for_unit(*running_[index])) return false;
  const auto computes_it = [&](const Sequence* earlier) {
    return !earlier->decoding() && blocks_.same_unit(*earlier, *running_[index]);
  };
  return std::any_of(running_.begin(), running_.begin() + static_cast<int64_t>(index), computes_it);
}

// Of running sequences that do not decode, in their order.
std::vector<int32_t> Scheduler::owed_to_prompts() const {
  std::vector<int32_t> owed;
  int32_t scored_rows = kMaxScoredRows;
  for (size_t i = 0; i < running_.size(); ++i) {
    const Sequence& sequence = *running_[i];
    if (sequence.decoding()) continue;
    int32_t rows = waits_for_another(i) ? 0 : sequence.num_owed();
    if (!sequence.wants_hidden && sequence.next_output < sequence.num_tokens() - 1) {
      const int32_t before = sequence.next_output - sequence.num_computed;
      rows = std::min(rows, before + scored_rows);
      scored_rows -= std::max(0, rows - before);
    }
    owed.push_back(rows);
  }
  return owed;
}

// Rows of the next step for each running sequence; 0: not in this step.
std::vector<int32_t> Scheduler::choose_rows() const {
  const std::vector<int32_t> owed = owed_to_prompts();
  const auto num_decodes = static_cast<int32_t>(running_.size() - owed.size());
  const int32_t budget = std::min(config_.prefill_chunk, config_.max_batch_rows - num_decodes);
  const std::vector<int32_t> shares = fair_shares(owed, budget);
  std::vector<int32_t> rows;
  auto share = shares.begin();
  for (const Sequence* sequence : running_) rows.push_back(sequence->decoding() ? 1 : *share++);
  return rows;
}

std::vector<int32_t> Scheduler::choose_whole() const {
  std::vector<int32_t> rows;
  int32_t left = config_.max_batch_rows;
  for (const Sequence* sequence : running_) {
    rows.push_back(sequence->num_owed() <= left ? sequence->num_owed() : 0);
    left -= rows.back();
  }
  return rows;
}

// Only sequences that decode have drafts.
void Scheduler::add_drafts(std::vector<int32_t>& rows) {
  int32_t left = config_.max_batch_rows - std::accumulate(rows.begin(), rows.end(), 0);
  for (size_t i = 0; i < rows.size(); ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.draft.empty()) continue;
    auto length = std::min(static_cast<int32_t>(sequence.draft.size()), left);
    if (!sequence.decoding() || !blocks_.reserve(sequence, 1 + length)) length = 0;
    sequence.draft.resize(static_cast<size_t>(length));
    rows[i] += length;
    left -= length;
  }
}

void Scheduler::preempt_youngest() {
  Sequence* victim = running_.back();
  running_.pop_back();
  blocks_.release(*victim);
  victim->draft.clear();
  victim->was_preempted = true;
  victim->status = SequenceStatus::kWaiting;
  insert_in_order(waiting_, victim);
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
    batch.spans.push_back({.first_row = batch.num_rows(),
                           .num_rows = span.num_rows,
                           .start = start,
                           .adapter = sequence.scope.second});
    for (int32_t i = start; i < start + span.num_rows; ++i) {
      if (i >= sequence.next_output) {
        auto& wanted = sequence.wants_hidden ? batch.hidden_rows : batch.output_rows;
        wanted.push_back(batch.num_rows());
      }
      batch.tokens.push_back(sequence.token_at(i));
      batch.positions.push_back(i);
    }
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
