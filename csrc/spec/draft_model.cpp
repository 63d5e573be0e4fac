#include "spec/draft_model.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"

namespace pyslm {

DraftModel::DraftModel(Runner* runner, int32_t chunk)
    : runner_(runner),
      chunk_(std::min(chunk, runner->max_batch_rows())),
      blocks_(runner->cache_groups(), false) {}

void DraftModel::forget(uint64_t id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  blocks_.release(*found->second);
  sequences_.erase(found);
}

// The draft's own view of the target: its tokens, and of them those whose keys and values are still
// right.
Sequence& DraftModel::follow(const Sequence& target) {
  std::unique_ptr<Sequence>& own = sequences_[target.id];
  if (!own) {
    own = std::make_unique<Sequence>();
    own->id = target.id;
    own->tables.assign(blocks_.num_groups(), {});
  }
  const auto [theirs, ours] = std::mismatch(target.tokens.begin(), target.tokens.end(),
                                            own->tokens.begin(), own->tokens.end());
  const auto agreed = static_cast<int32_t>(theirs - target.tokens.begin());
  own->tokens = target.tokens;
  own->num_computed = std::min({own->num_computed, agreed, target.num_tokens() - 1});
  own->next_output = target.num_tokens() - 1;
  blocks_.release_behind_window(*own);
  return *own;
}

void DraftModel::drop_all_but(const std::vector<Guessing>& kept) {
  std::vector<uint64_t> others;
  for (const auto& [id, sequence] : sequences_) {
    const auto is_it = [&](const Guessing& g) { return g.sequence == sequence.get(); };
    if (std::none_of(kept.begin(), kept.end(), is_it)) others.push_back(id);
  }
  for (const uint64_t id : others) forget(id);
}

bool DraftModel::reserve(const Guessing& one, int32_t rows, const std::vector<Guessing>& all) {
  if (blocks_.reserve(*one.sequence, rows)) return true;
  drop_all_but(all);
  return blocks_.reserve(*one.sequence, rows);
}

std::vector<ScheduledSpan> DraftModel::plan_catch_up(const std::vector<Guessing>& all) {
  std::vector<ScheduledSpan> plan;
  int32_t left = chunk_;
  for (const Guessing& one : all) {
    const int32_t rows = std::min(one.sequence->num_owed(), left);
    if (rows < 1) break;
    if (!reserve(one, rows, all)) continue;
    plan.push_back({one.sequence, rows});
    left -= rows;
  }
  return plan;
}

void DraftModel::run(const std::vector<ScheduledSpan>& plan, const std::vector<Guessing>& all) {
  if (plan.empty()) return;
  const float* logits = runner_->forward(build_batch(plan, blocks_.num_groups())).logits;
  for (const ScheduledSpan& span : plan) {
    Sequence& sequence = *span.sequence;
    const bool has_output = span.num_outputs() > 0;
    sequence.num_computed += span.num_rows;
    if (!has_output) continue;
    draw(*std::find_if(all.begin(), all.end(),
                       [&](const Guessing& one) { return one.sequence == &sequence; }),
         logits);
    logits += runner_->num_vocab();
  }
}

void DraftModel::draw(const Guessing& one, const float* logits) {
  Sequence& sequence = *one.sequence;
  const TokenHistory history{sequence.tokens, one.job->target->prompt_length, nullptr};
  try {
    const int32_t token =
        one.job->sampler->sample(logits, history, sequence.num_tokens(), workspace_);
    one.job->tokens.push_back(token);
    sequence.tokens.push_back(token);
    ++sequence.next_output;
  } catch (const Error&) {  // where nothing can be drawn, nothing is guessed
  }
}

void DraftModel::guess(std::vector<DraftJob>& jobs, int32_t depth) {
  std::vector<Guessing> all;
  for (DraftJob& job : jobs) {
    job.tokens.clear();
    if (job.most < 1 || job.target->num_tokens() + depth > runner_->context_length()) continue;
    all.push_back({&job, &follow(*job.target)});
  }
  run(plan_catch_up(all), all);
  const auto begin = std::chrono::steady_clock::now();
  for (int32_t d = 1; d < depth; ++d) {
    std::vector<ScheduledSpan> plan;
    for (const Guessing& one : all) {
      const auto length = static_cast<int32_t>(one.job->tokens.size());
      if (length == d && length < one.job->most && reserve(one, 1, all)) {
        plan.push_back({one.sequence, 1});
      }
    }
    if (plan.empty()) break;
    run(plan, all);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / d;
    step_seconds_ = step_seconds_ == 0 ? seconds : 0.9 * step_seconds_ + 0.1 * seconds;
  }
}

}  // namespace pyslm
