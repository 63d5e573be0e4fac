// The parts of Engine::step().
#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "core/error.h"
#include "engine/impl.h"

namespace pyslm {
namespace {

constexpr std::chrono::milliseconds kCompileWait{20};

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

std::vector<Guide*> StepPlan::guides() const {
  std::vector<Guide*> result;
  for (size_t i = 0; i < spans.size(); ++i) {
    Guide* guide = requests[i]->task->guide();
    if (guide != nullptr && spans[i].num_outputs() > 0) result.push_back(guide);
  }
  return result;
}

bool StepPlan::only_decodes() const {
  return std::all_of(spans.begin(), spans.end(),
                     [](const ScheduledSpan& span) { return span.sequence->decoding(); });
}

// Requests whose grammar is compiled go to the scheduler.
void Engine::Impl::admit_compiled() {
  for (const RequestId id : std::exchange(compiling, {})) {
    const auto found = requests.find(id);
    if (found == requests.end() || found->second->finished()) continue;
    Request& request = *found->second;
    if (!request.task->guide()->ticket()->done()) {
      compiling.push_back(id);
      continue;
    }
    try {
      request.task->guide()->begin();
      scheduler.add(&request.sequence);
    } catch (const Error& error) {
      fail_request(request, error);
    }
  }
}

// Nothing else is to be done: sleeps for a while, at most until the oldest grammar is there.
void Engine::Impl::wait_for_grammar() {
  std::shared_ptr<GrammarTicket> ticket;
  {
    const std::lock_guard lock(mutex);
    if (compiling.empty()) return;
    const auto found = requests.find(compiling.front());
    if (found == requests.end() || found->second->finished()) return;
    ticket = found->second->task->guide()->ticket();
  }
  ticket->wait_for(kCompileWait);
}

StepPlan Engine::Impl::schedule() {
  StepPlan plan;
  std::unique_lock lock(mutex);
  admit_compiled();
  if (speculator.enabled()) speculate(lock);
  plan.spans = scheduler.schedule();
  if (plan.spans.empty() && num_unfinished > static_cast<int>(compiling.size())) {
    fail(ErrorKind::kInternal, num_unfinished, " requests wait and none can be scheduled");
  }
  for (const ScheduledSpan& span : plan.spans) {
    plan.requests.push_back(requests.at(span.sequence->id).get());
  }
  stepping = !plan.spans.empty();
  return plan;
}

std::vector<Decoding> Engine::Impl::decoding() const {
  std::vector<Decoding> result;
  for (Sequence* sequence : scheduler.running()) {
    if (!sequence->decoding()) continue;
    auto* generation = dynamic_cast<Generation*>(requests.at(sequence->id)->task.get());
    if (generation != nullptr) result.push_back({sequence, generation});
  }
  return result;
}

void Engine::Impl::speculate(std::unique_lock<std::mutex>& lock) {
  const std::vector<Decoding> all = decoding();
  speculator.guess(all);
  if (draft_model) ask_draft_model(all, lock);
  speculator.choose_drafts(all);
}

// For those that have no good guess yet. The lock is let go of while the model computes; meanwhile
// nobody ends a request, since a step is under way.
void Engine::Impl::ask_draft_model(const std::vector<Decoding>& all,
                                   std::unique_lock<std::mutex>& lock) {
  for (const RequestId id : std::exchange(ended, {})) draft_model->forget(id);
  std::vector<Decoding> wanting;
  std::copy_if(all.begin(), all.end(), std::back_inserter(wanting),
               [](const Decoding& d) { return d.generation->last_guess().weak(); });
  if (wanting.empty()) return;
  const int32_t depth = speculator.model_depth(wanting, draft_model->step_seconds());
  if (depth < 1) return;
  std::vector<DraftJob> jobs;
  for (const Decoding& d : wanting) {
    const int32_t most = std::min(depth, speculator.most_tokens(d));
    jobs.push_back({d.sequence, &d.generation->sampler(), most, {}});
  }
  stepping = true;
  lock.unlock();
  draft_model->guess(jobs, depth);
  lock.lock();
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!jobs[i].tokens.empty()) wanting[i].generation->set_guess(std::move(jobs[i].tokens));
  }
}

StepOutputs Engine::Impl::run(StepPlan& plan) {
  const Batch batch = build_batch(plan.spans, num_groups);
  MasksUnderWay under_way(masks, masks_overlap ? plan.guides() : std::vector<Guide*>{});
  const Clock::time_point begin = Clock::now();
  const StepOutputs outputs = runner->forward(batch);
  plan.forward_seconds = seconds_between(begin, Clock::now());
  plan.num_rows = batch.num_rows();
  under_way.join();
  return outputs;
}

// Rows come in the order of the spans, those of logits and of hidden states each in their own
// array. Requests do not touch each other, so the runner's threads share them.
void Engine::Impl::process(const StepPlan& plan, const StepOutputs& outputs) {
  std::vector<const float*> rows(plan.spans.size());
  std::vector<size_t> with_outputs;
  StepOutputs next = outputs;
  for (size_t i = 0; i < plan.spans.size(); ++i) {
    const int64_t num_outputs = plan.spans[i].num_outputs();
    if (num_outputs == 0) continue;
    with_outputs.push_back(i);
    const bool hidden = plan.spans[i].sequence->wants_hidden;
    const float*& at = hidden ? next.hidden : next.logits;
    rows[i] = at;
    at += num_outputs * (hidden ? runner->hidden_size() : vocabulary.num_vocab);
  }
  std::vector<std::exception_ptr> faults(with_outputs.size());
  runner->parallel(static_cast<int>(with_outputs.size()), [&](int thread, int index) {
    const size_t i = with_outputs[static_cast<size_t>(index)];
    try {
      plan.requests[i]->task->process(*plan.spans[i].sequence, rows[i], plan.spans[i].num_outputs(),
                                      workspaces[static_cast<size_t>(thread)]);
    } catch (...) {
      faults[static_cast<size_t>(index)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& fault : faults) {
    if (fault) std::rethrow_exception(fault);
  }
}

void Engine::Impl::commit(const StepPlan& plan) {
  const std::lock_guard lock(mutex);
  if (plan.only_decodes()) speculator.observe_step(plan.num_rows, plan.forward_seconds);
  for (size_t i = 0; i < plan.spans.size(); ++i) commit_request(plan.spans[i], *plan.requests[i]);
  ++totals.num_steps;
  totals.forward_seconds += plan.forward_seconds;
  totals.step_seconds += seconds_between(plan.begin, Clock::now());
}

void Engine::Impl::commit_request(const ScheduledSpan& span, Request& request) {
  Sequence& sequence = *span.sequence;
  const int32_t num_outputs = span.num_outputs();
  if (num_outputs == 0) {
    scheduler.commit(sequence, span.num_rows);
    return;
  }
  const auto num_draft = static_cast<int64_t>(sequence.draft.size());
  if (speculator.enabled() && sequence.decoding()) {
    if (auto* generation = dynamic_cast<Generation*>(request.task.get())) {
      speculator.learn({&sequence, generation});
    }
  }
  const Progress progress = request.task->commit(sequence, request.pending);
  request.has_news = true;
  note_times(request);
  totals.output_tokens += progress.num_outputs;
  totals.draft_tokens += num_draft;
  if (num_draft > 0) totals.accepted_tokens += std::max(0, progress.num_outputs - 1);
  // What stands after a wrong draft token is not in the cache, whatever was written there.
  scheduler.commit(sequence, span.num_rows - (num_outputs - std::max(1, progress.num_outputs)));
  if (progress.finish != FinishReason::kNone) finish(request, progress.finish);
}

void Engine::Impl::note_times(Request& request) {
  RequestUpdate& pending = request.pending;
  const Clock::time_point now = Clock::now();
  if (request.first_output_at == Clock::time_point{}) {
    request.first_output_at = now;
    pending.prompt_seconds = seconds_between(request.arrived, now);
    pending.cached_tokens = request.sequence.num_cached;
    totals.prompt_tokens += pending.prompt_tokens;
    totals.cached_tokens += pending.cached_tokens;
  }
  pending.decode_seconds = seconds_between(request.first_output_at, now);
}

// Also where the step failed half-way: aborts that came during it are due.
int Engine::Impl::end_step() {
  const std::lock_guard lock(mutex);
  stepping = false;
  for (const RequestId id : std::exchange(due_aborts, {})) {
    const auto found = requests.find(id);
    if (found != requests.end() && !found->second->finished()) {
      finish(*found->second, FinishReason::kAbort);
    }
  }
  if (num_unfinished == 0) release_unused_memory();
  return num_unfinished;
}

void Engine::Impl::fail_request(Request& request, const Error& error) {
  request.pending.error = error.what();
  request.pending.error_kind = error.kind();
  finish(request, FinishReason::kError);
}

void Engine::Impl::finish(Request& request, FinishReason reason) {
  if (!request.compiling()) scheduler.remove(&request.sequence);
  request.task->finish();
  if (draft_model) ended.push_back(request.sequence.id);
  request.pending.finish = reason;
  request.has_news = true;
  --num_unfinished;
}

int Engine::step() {
  const std::lock_guard one_step(impl_->step_mutex);
  try {
    StepPlan plan = impl_->schedule();
    if (plan.spans.empty()) {
      impl_->wait_for_grammar();
    } else {
      impl_->process(plan, impl_->run(plan));
      impl_->commit(plan);
    }
  } catch (...) {
    impl_->end_step();
    throw;
  }
  return impl_->end_step();
}

}  // namespace pyslm
