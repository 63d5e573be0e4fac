// The engine's state and the parts of its step.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/guided.h"
#include "engine/request.h"
#include "engine/speculator.h"
#include "engine/vocabulary.h"
#include "sched/scheduler.h"
#include "spec/draft_model.h"

namespace pyslm {

// A step's plan, and the request behind each of its spans.
struct StepPlan {
  std::vector<ScheduledSpan> spans;
  std::vector<Request*> requests;
  Clock::time_point begin = Clock::now();
  int32_t num_rows = 0;
  double forward_seconds = 0;

  // Of those whose next token a grammar constrains.
  std::vector<Guide*> guides() const;
  bool only_decodes() const;
};

struct Engine::Impl {
  Impl(Runner* runner_in, const EngineConfig& settings, std::vector<std::string> bytes,
       const std::vector<int32_t>& stops);

  // Of a step, in this order; the middle two without `mutex`.
  StepPlan schedule();
  StepOutputs run(StepPlan& plan);
  void process(const StepPlan& plan, const StepOutputs& outputs);
  void commit(const StepPlan& plan);
  int end_step();

  RequestId add(std::unique_ptr<Request> request, const RequestScope& scope);
  RequestId add_row_request(std::vector<int32_t> tokens, std::unique_ptr<Task> task,
                            const RequestScope& scope, int32_t next_output, bool wants_hidden);
  void check_prompt(const std::vector<int32_t>& tokens, int64_t num_output) const;
  void admit_compiled();
  void wait_for_grammar();
  void speculate(std::unique_lock<std::mutex>& lock);
  void ask_draft_model(const std::vector<Decoding>& all, std::unique_lock<std::mutex>& lock);
  std::vector<Decoding> decoding() const;
  void commit_request(const ScheduledSpan& span, Request& request);
  void note_times(Request& request);
  void fail_request(Request& request, const Error& error);
  void finish(Request& request, FinishReason reason);
  RequestUpdate take_update(Request& request);
  void check_queue() const;
  void check_adapter(int32_t adapter) const;
  void release_unused_memory();

  Runner* const runner;
  const int context_length;
  const size_t num_groups;
  const EngineConfig config;
  const EngineVocabulary vocabulary;
  std::vector<SamplerWorkspace> workspaces;  // one for each of the runner's threads
  // Masks are filled while the runner computes where a core is left for that. Where the runner uses
  // all of them, a thread more would only hold up one of its own: then they are filled afterwards,
  // by its threads.
  const bool masks_overlap;
  MaskFiller masks;                         // likewise
  std::unique_ptr<DraftModel> draft_model;  // likewise

  std::mutex step_mutex;  // one step at a time; taken before `mutex`
  // Guards everything below. Not held while the runner computes and tokens are chosen; meanwhile
  // `stepping` is set and the sequences in the plan belong to the step.
  std::mutex mutex;
  bool stepping = false;
  Scheduler scheduler;
  Speculator speculator;
  std::unordered_map<RequestId, std::unique_ptr<Request>> requests;
  RequestId next_id = 1;
  std::shared_ptr<GrammarCompiler> compiler;
  std::vector<RequestId> compiling;   // oldest first
  std::vector<RequestId> due_aborts;  // asked for during a step: done at its end
  std::vector<RequestId> ended;       // the draft model has yet to hear of it
  int num_unfinished = 0;
  EngineTotals totals;
};

}  // namespace pyslm
