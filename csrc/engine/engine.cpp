#include "engine/engine.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/error.h"
#include "engine/guided.h"
#include "engine/prefix_stream.h"
#include "engine/request.h"
#include "sched/scheduler.h"

namespace pyslm {
namespace {

// A step's plan, and the request behind each of its spans.
struct StepPlan {
  std::vector<ScheduledSpan> spans;
  std::vector<Request*> requests;

  // Of those whose next token a grammar constrains.
  std::vector<Guide*> guides() const {
    std::vector<Guide*> result;
    for (size_t i = 0; i < spans.size(); ++i) {
      if (requests[i]->guide && spans[i].gives_output()) {
        result.push_back(requests[i]->guide.get());
      }
    }
    return result;
  }
};

// What sampling found for one span.
struct Choice {
  int32_t token = -1;
  std::vector<TokenLogprob> logprobs;
  bool completes_grammar = false;
  std::optional<Error> error;
};

constexpr std::chrono::milliseconds kCompileWait{20};

SchedulerConfig scheduler_config(const Runner& runner, const EngineConfig& config) {
  if (config.max_sequences < 1) {
    fail(ErrorKind::kInvalid, "max_sequences is ", config.max_sequences, "; allowed: at least 1");
  }
  if (config.prefill_chunk < 1) {
    fail(ErrorKind::kInvalid, "prefill_chunk is ", config.prefill_chunk, "; allowed: at least 1");
  }
  return {.max_sequences = config.max_sequences,
          .prefill_chunk = config.prefill_chunk,
          .max_batch_rows = runner.max_batch_rows(),
          .prefix_caching = config.prefix_caching};
}

void check_tokens(const char* what, const std::vector<int32_t>& tokens, int num_vocab) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < num_vocab) continue;
    fail(ErrorKind::kInvalid, what, " has token id ", tokens[i], " at index ", i,
         "; allowed: 0 to ", num_vocab - 1, " (the vocabulary of this model)");
  }
}

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

struct Engine::Impl {
  Impl(Runner* runner_in, const EngineConfig& settings, std::vector<std::string> bytes,
       const std::vector<int32_t>& stops);

  void admit_compiled();
  void wait_for_grammar();
  StepPlan schedule();
  std::vector<Choice> sample(const StepPlan& plan, const float* logits);
  void commit(const StepPlan& plan, std::vector<Choice>& choices);
  int end_step();
  void check_queue() const;
  void release_unused_memory();

  Choice choose(Request& request, const float* logits);
  void commit_token(Request& request, Choice& choice);
  void check_stop(Request& request, const Choice& choice);
  void fail_request(Request& request, const Error& error);
  void finish(Request& request, FinishReason reason);
  std::string_view bytes_of(int32_t token) const {
    const auto index = static_cast<size_t>(token);
    return index < token_bytes.size() ? std::string_view(token_bytes[index]) : std::string_view();
  }

  Runner* const runner;
  const int num_vocab;
  const int context_length;
  const size_t num_groups;
  const EngineConfig config;
  const std::vector<std::string> token_bytes;
  const std::unordered_set<int32_t> stop_tokens;
  SamplerWorkspace workspace;  // of whoever is in step()
  MaskFiller masks;            // likewise

  std::mutex step_mutex;  // one step at a time; taken before `mutex`
  // Guards everything below. Not held while the runner computes and tokens are chosen; meanwhile
  // `stepping` is set and the sequences in the plan belong to the step.
  std::mutex mutex;
  bool stepping = false;
  Scheduler scheduler;
  std::unordered_map<RequestId, std::unique_ptr<Request>> requests;
  RequestId next_id = 1;
  std::shared_ptr<GrammarCompiler> compiler;
  std::vector<RequestId> compiling;   // oldest first
  std::vector<RequestId> due_aborts;  // asked for during a step: done at its end
  int num_unfinished = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0;
};

Engine::Impl::Impl(Runner* runner_in, const EngineConfig& settings, std::vector<std::string> bytes,
                   const std::vector<int32_t>& stops)
    : runner(runner_in),
      num_vocab(runner_in->num_vocab()),
      context_length(runner_in->context_length()),
      num_groups(runner_in->cache_groups().size()),
      config(settings),
      token_bytes(std::move(bytes)),
      stop_tokens(stops.begin(), stops.end()),
      scheduler(scheduler_config(*runner_in, config), runner_in->cache_groups()) {
  check_tokens("stop_tokens", stops, num_vocab);
  if (token_bytes.size() > static_cast<size_t>(num_vocab)) {
    fail(ErrorKind::kInvalid, "token_bytes has ", token_bytes.size(),
         " entries; allowed: at most the vocabulary of this model, ", num_vocab);
  }
}

// Requests whose grammar is compiled go to the scheduler.
void Engine::Impl::admit_compiled() {
  for (const RequestId id : std::exchange(compiling, {})) {
    const auto found = requests.find(id);
    if (found == requests.end() || found->second->finished()) continue;
    Request& request = *found->second;
    if (!request.guide->ticket->done()) {
      compiling.push_back(id);
      continue;
    }
    try {
      request.guide->matcher = request.guide->ticket->take();
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
    ticket = found->second->guide->ticket;
  }
  ticket->wait_for(kCompileWait);
}

StepPlan Engine::Impl::schedule() {
  const std::lock_guard lock(mutex);
  admit_compiled();
  StepPlan plan{scheduler.schedule(), {}};
  if (plan.spans.empty() && num_unfinished > static_cast<int>(compiling.size())) {
    fail(ErrorKind::kInternal, num_unfinished, " requests wait and none can be scheduled");
  }
  for (const ScheduledSpan& span : plan.spans) {
    plan.requests.push_back(requests.at(span.sequence->id).get());
  }
  stepping = !plan.spans.empty();
  return plan;
}

// logits: [spans that give output x num_vocab]
std::vector<Choice> Engine::Impl::sample(const StepPlan& plan, const float* logits) {
  std::vector<Choice> choices(plan.spans.size());
  for (size_t i = 0; i < plan.spans.size(); ++i) {
    if (!plan.spans[i].gives_output()) continue;
    choices[i] = choose(*plan.requests[i], logits);
    logits += num_vocab;
  }
  return choices;
}

Choice Engine::Impl::choose(Request& request, const float* logits) {
  Choice choice;
  const Sequence& sequence = request.sequence;
  Guide* guide = request.guide.get();
  try {
    if (guide != nullptr && guide->error) throw *guide->error;
    const TokenHistory history{sequence.tokens, sequence.prompt_length, &token_bytes};
    choice.token = request.sampler.sample(logits, history, sequence.num_tokens(), workspace,
                                          &choice.logprobs, guide ? guide->mask.data() : nullptr);
    if (guide != nullptr) choice.completes_grammar = guide->advance(choice.token);
  } catch (const Error& error) {
    choice.error = error;  // fails this request and no other
  }
  return choice;
}

void Engine::Impl::commit(const StepPlan& plan, std::vector<Choice>& choices) {
  const std::lock_guard lock(mutex);
  for (size_t i = 0; i < plan.spans.size(); ++i) {
    const bool gives_output = plan.spans[i].gives_output();
    scheduler.commit(plan.spans[i]);
    if (gives_output) commit_token(*plan.requests[i], choices[i]);
  }
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

void Engine::Impl::check_queue() const {
  const int64_t most = int64_t{config.max_sequences} + config.max_queued;
  if (config.max_queued < 0 || num_unfinished < most) return;
  fail(ErrorKind::kQueueFull, num_unfinished,
       " requests run or wait; allowed: ", config.max_sequences, " that run and ",
       config.max_queued, " that wait (max_queued). Try again when one has finished");
}

void Engine::Impl::release_unused_memory() {
  for (size_t g = 0; g < num_groups; ++g) {
    std::vector<int32_t> blocks = scheduler.blocks().take_unused_memory(g);
    std::sort(blocks.begin(), blocks.end());
    if (!blocks.empty()) runner->release_blocks(static_cast<int>(g), blocks);
  }
}

void Engine::Impl::commit_token(Request& request, Choice& choice) {
  RequestUpdate& pending = request.pending;
  request.has_news = true;
  if (choice.error) {
    fail_request(request, *choice.error);
    return;
  }
  const Clock::time_point now = Clock::now();
  if (pending.output_tokens == 0) {
    request.first_token_at = now;
    pending.prompt_seconds = seconds_between(request.arrived, now);
    pending.cached_tokens = request.sequence.num_cached;
    prompt_tokens += pending.prompt_tokens;
    cached_tokens += pending.cached_tokens;
  }
  pending.decode_seconds = seconds_between(request.first_token_at, now);
  ++pending.output_tokens;
  pending.tokens.push_back(choice.token);
  if (!choice.logprobs.empty()) pending.logprobs.push_back(std::move(choice.logprobs));
  request.sequence.tokens.push_back(choice.token);
  check_stop(request, choice);
}

void Engine::Impl::check_stop(Request& request, const Choice& choice) {
  const int32_t token = choice.token;
  const SamplingParams& params = request.sampler.params();
  const auto& own_stops = params.stop_token_ids;
  const bool is_stop = (!params.ignore_eos && stop_tokens.contains(token)) ||
                       std::find(own_stops.begin(), own_stops.end(), token) != own_stops.end();
  if (is_stop) {
    if (params.include_stop_text) request.text.append(bytes_of(token));
    request.pending.stop_reason = std::to_string(token);
    finish(request, FinishReason::kStop);
  } else if (const std::string* stop = request.text.append(
                 bytes_of(token), request.pending.output_tokens >= params.min_tokens)) {
    request.pending.stop_reason = *stop;
    finish(request, FinishReason::kStop);
  } else if (choice.completes_grammar) {
    finish(request, FinishReason::kStop);
  } else if (request.pending.output_tokens >= params.max_tokens) {
    finish(request, FinishReason::kLength);
  }
}

void Engine::Impl::fail_request(Request& request, const Error& error) {
  request.pending.error = error.what();
  request.pending.error_kind = error.kind();
  finish(request, FinishReason::kError);
}

void Engine::Impl::finish(Request& request, FinishReason reason) {
  if (!request.compiling()) scheduler.remove(&request.sequence);
  request.guide.reset();
  request.text.finish();
  request.pending.finish = reason;
  request.has_news = true;
  --num_unfinished;
}

Engine::Engine(Runner* runner, const EngineConfig& config, std::vector<std::string> token_bytes,
               std::vector<int32_t> stop_tokens)
    : impl_(std::make_unique<Impl>(runner, config, std::move(token_bytes), stop_tokens)) {}

Engine::~Engine() = default;

void Engine::use_grammars(std::shared_ptr<GrammarCompiler> compiler) {
  if (compiler->num_vocab() != static_cast<size_t>(impl_->num_vocab)) {
    fail(ErrorKind::kInvalid, "the grammar compiler has ", compiler->num_vocab(),
         " tokens; needed: the vocabulary of this model, ", impl_->num_vocab);
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->compiler = std::move(compiler);
}

RequestId Engine::add(std::vector<int32_t> prompt, const SamplingParams& params) {
  if (prompt.empty()) {
    fail(ErrorKind::kInvalid, "the prompt has no tokens; at least one is needed");
  }
  check_tokens("the prompt", prompt, impl_->num_vocab);
  Sampler sampler(params, impl_->num_vocab, params.sample_index);
  sampler.prepare(impl_->token_bytes, impl_->stop_tokens);
  const int64_t total = static_cast<int64_t>(prompt.size()) + params.max_tokens;
  if (total > impl_->context_length) {
    fail(ErrorKind::kContext, "the prompt has ", prompt.size(), " tokens and max_tokens is ",
         params.max_tokens, ", together ", total, "; the context holds ", impl_->context_length,
         ". Shorten the prompt, lower max_tokens or raise the context length");
  }
  impl_->scheduler.check_fits(total - 1);  // the last token is never computed, only chosen

  const std::lock_guard lock(impl_->mutex);
  impl_->check_queue();
  const RequestId id = impl_->next_id++;
  auto request = std::make_unique<Request>(id, std::move(prompt), std::move(sampler));
  Request* added = request.get();
  added->sequence.priority = params.priority;
  added->sequence.scope.first = params.cache_salt;
  if (!params.grammar_type.empty()) {
    if (!impl_->compiler) {
      fail(ErrorKind::kInvalid, "this engine has no compiler for grammars; call use_grammars()");
    }
    added->guide = std::make_unique<Guide>();
    added->guide->ticket = impl_->compiler->compile({params.grammar_type, params.grammar});
    added->guide->mask.resize((static_cast<size_t>(impl_->num_vocab) + 31) / 32);
    impl_->compiling.push_back(id);
  } else {
    impl_->scheduler.add(&added->sequence);
  }
  impl_->requests.emplace(id, std::move(request));
  ++impl_->num_unfinished;
  return id;
}

bool Engine::abort(RequestId id) {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->requests.find(id);
  if (found == impl_->requests.end() || found->second->finished()) return false;
  if (impl_->stepping) {
    impl_->due_aborts.push_back(id);
  } else {
    impl_->finish(*found->second, FinishReason::kAbort);
    if (impl_->num_unfinished == 0) impl_->release_unused_memory();
  }
  return true;
}

int Engine::step() {
  const std::lock_guard one_step(impl_->step_mutex);
  const StepPlan plan = impl_->schedule();
  if (plan.spans.empty()) {
    impl_->wait_for_grammar();
    return impl_->end_step();
  }
  try {
    const Batch batch = build_batch(plan.spans, impl_->num_groups);
    MasksUnderWay masks(impl_->masks, plan.guides());
    const float* logits = impl_->runner->forward(batch);
    masks.join();
    std::vector<Choice> choices = impl_->sample(plan, logits);
    impl_->commit(plan, choices);
  } catch (...) {
    impl_->end_step();
    throw;
  }
  return impl_->end_step();
}

std::optional<RequestUpdate> Engine::poll(RequestId id) {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->requests.find(id);
  if (found == impl_->requests.end()) {
    fail(ErrorKind::kInvalid, "no request ", id, ": never added, or its last update was taken");
  }
  Request& request = *found->second;
  if (!request.has_news) return std::nullopt;
  RequestUpdate update = request.pending;
  update.bytes = request.text.take();
  request.pending.tokens.clear();
  request.pending.logprobs.clear();
  request.has_news = false;
  if (request.finished()) impl_->requests.erase(found);
  return update;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  const Scheduler& scheduler = impl_->scheduler;
  EngineStats stats;
  stats.num_running = scheduler.num_running();
  stats.num_waiting = scheduler.num_waiting();
  stats.num_compiling = static_cast<int32_t>(impl_->compiling.size());
  stats.num_preemptions = scheduler.num_preemptions();
  stats.prompt_tokens = impl_->prompt_tokens;
  stats.cached_tokens = impl_->cached_tokens;
  for (size_t g = 0; g < impl_->num_groups; ++g) {
    const BlockPool& pool = scheduler.blocks().pool(g);
    stats.free_blocks.push_back(pool.num_free());
    stats.cached_blocks.push_back(pool.num_tagged());
    stats.resident_blocks.push_back(pool.num_resident());
  }
  return stats;
}

void Engine::trim() {
  const std::lock_guard one_step(impl_->step_mutex);
  const std::lock_guard lock(impl_->mutex);
  impl_->scheduler.blocks().evict_all();
  impl_->release_unused_memory();
}

void Engine::save_prefixes(const Sink& sink) {
  const std::lock_guard one_step(impl_->step_mutex);
  const std::lock_guard lock(impl_->mutex);
  pyslm::save_prefixes(impl_->scheduler.blocks(), *impl_->runner, sink);
}

int64_t Engine::load_prefixes(const Source& source) {
  const std::lock_guard one_step(impl_->step_mutex);
  const std::lock_guard lock(impl_->mutex);
  return pyslm::load_prefixes(impl_->scheduler.blocks(), *impl_->runner, source);
}

void Engine::verify() const {
  const std::lock_guard lock(impl_->mutex);
  impl_->scheduler.verify();
}

}  // namespace pyslm
