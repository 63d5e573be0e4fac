#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "engine/embedding.h"
#include "engine/generation.h"
#include "engine/impl.h"
#include "engine/prefix_stream.h"
#include "engine/scoring.h"

namespace pyslm {
namespace {

void check_at_least(const char* name, int value, int least) {
  if (value >= least) return;
  fail(ErrorKind::kInvalid, name, " is ", value, "; allowed: at least ", least);
}

SchedulerConfig scheduler_config(const Runner& runner, const EngineConfig& config) {
  check_at_least("max_sequences", config.max_sequences, 1);
  check_at_least("prefill_chunk", config.prefill_chunk, 1);
  check_at_least("max_draft", config.max_draft, 0);
  return {.max_sequences = config.max_sequences,
          .prefill_chunk = config.prefill_chunk,
          .max_batch_rows = runner.max_batch_rows(),
          .prefix_caching = config.prefix_caching,
          .whole_sequences = runner.whole_sequences()};
}

void check_tokens(const char* what, const std::vector<int32_t>& tokens, int num_vocab) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < num_vocab) continue;
    fail(ErrorKind::kInvalid, what, " has token id ", tokens[i], " at index ", i,
         "; allowed: 0 to ", num_vocab - 1, " (the vocabulary of this model)");
  }
}

}  // namespace

Engine::Impl::Impl(Runner* runner_in, const EngineConfig& settings, std::vector<std::string> bytes,
                   const std::vector<int32_t>& stops)
    : runner(runner_in),
      context_length(runner_in->context_length()),
      num_groups(runner_in->cache_groups().size()),
      config(settings),
      vocabulary{runner_in->num_vocab(), std::move(bytes), {stops.begin(), stops.end()}},
      workspaces(static_cast<size_t>(runner_in->num_threads())),
      scheduler(scheduler_config(*runner_in, config), runner_in->cache_groups()),
      speculator({config.max_draft, config.adaptive_draft}) {
  check_tokens("stop_tokens", stops, vocabulary.num_vocab);
  if (vocabulary.token_bytes.size() > static_cast<size_t>(vocabulary.num_vocab)) {
    fail(ErrorKind::kInvalid, "token_bytes has ", vocabulary.token_bytes.size(),
         " entries; allowed: at most the vocabulary of this model, ", vocabulary.num_vocab);
  }
}

// Under the lock, so that it is not unloaded before the request is known.
void Engine::Impl::check_adapter(int32_t adapter) const {
  if (adapter == -1 || runner->has_adapter(adapter)) return;
  fail(ErrorKind::kInvalid, "adapter ", adapter, " is not loaded; load it first, or take -1");
}

void Engine::Impl::check_queue() const {
  const int64_t most = int64_t{config.max_sequences} + config.max_queued;
  if (config.max_queued < 0 || num_unfinished < most) return;
  fail(ErrorKind::kQueueFull, num_unfinished,
       " requests run or wait; allowed: ", config.max_sequences, " that run and ",
       config.max_queued, " that wait (max_queued). Try again when one has finished");
}

// The request is gone where this was its last.
RequestUpdate Engine::Impl::take_update(Request& request) {
  RequestUpdate update = request.pending;
  update.bytes = request.task->take_bytes();
  request.pending.tokens.clear();
  request.pending.logprobs.clear();
  request.has_news = false;
  if (request.finished()) requests.erase(request.sequence.id);
  return update;
}

void Engine::Impl::release_unused_memory() {
  for (size_t g = 0; g < num_groups; ++g) {
    std::vector<int32_t> blocks = scheduler.blocks().take_unused_memory(g);
    std::sort(blocks.begin(), blocks.end());
    if (!blocks.empty()) runner->release_blocks(static_cast<int>(g), blocks);
  }
}

void Engine::Impl::check_prompt(const std::vector<int32_t>& tokens, int64_t num_output) const {
  if (tokens.empty()) {
    fail(ErrorKind::kInvalid, "the prompt has no tokens; at least one is needed");
  }
  check_tokens("the prompt", tokens, vocabulary.num_vocab);
  const int64_t total = static_cast<int64_t>(tokens.size()) + num_output;
  if (total <= context_length) return;
  if (num_output == 0) {
    fail(ErrorKind::kContext, "the text has ", tokens.size(), " tokens; the context holds ",
         context_length, ". Shorten it or raise the context length");
  }
  fail(ErrorKind::kContext, "the prompt has ", tokens.size(), " tokens and max_tokens is ",
       num_output, ", together ", total, "; the context holds ", context_length,
       ". Shorten the prompt, lower max_tokens or raise the context length");
}

// Under the lock. The request starts once its grammar is compiled.
RequestId Engine::Impl::add(std::unique_ptr<Request> request, const RequestScope& scope) {
  Sequence& sequence = request->sequence;
  sequence.priority = scope.priority;
  sequence.scope = {scope.cache_salt, scope.adapter};
  if (request->compiling()) {
    compiling.push_back(sequence.id);
  } else {
    scheduler.add(&sequence);
  }
  ++num_unfinished;
  const RequestId id = sequence.id;
  requests.emplace(id, std::move(request));
  return id;
}

// One whose rows are looked at, from `next_output` on; nothing is generated.
RequestId Engine::Impl::add_row_request(std::vector<int32_t> tokens, std::unique_ptr<Task> task,
                                        const RequestScope& scope, int32_t next_output,
                                        bool wants_hidden) {
  scheduler.check_fits(static_cast<int64_t>(tokens.size()));
  const std::lock_guard lock(mutex);
  check_queue();
  check_adapter(scope.adapter);
  auto request = std::make_unique<Request>(next_id++, std::move(tokens), std::move(task));
  request->sequence.next_output = next_output;
  request->sequence.wants_hidden = wants_hidden;
  return add(std::move(request), scope);
}

Engine::Engine(Runner* runner, const EngineConfig& config, std::vector<std::string> token_bytes,
               std::vector<int32_t> stop_tokens)
    : impl_(std::make_unique<Impl>(runner, config, std::move(token_bytes), stop_tokens)) {}

Engine::~Engine() = default;

void Engine::use_grammars(std::shared_ptr<GrammarCompiler> compiler) {
  if (compiler->num_vocab() != static_cast<size_t>(impl_->vocabulary.num_vocab)) {
    fail(ErrorKind::kInvalid, "the grammar compiler has ", compiler->num_vocab(),
         " tokens; needed: the vocabulary of this model, ", impl_->vocabulary.num_vocab);
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->compiler = std::move(compiler);
}

void Engine::use_draft_model(Runner* draft) {
  if (impl_->config.max_draft < 1) {
    fail(ErrorKind::kInvalid, "max_draft is 0: a draft model would have nothing to do");
  }
  if (draft->num_vocab() != impl_->vocabulary.num_vocab) {
    fail(ErrorKind::kInvalid, "the draft model has ", draft->num_vocab(),
         " tokens; needed: the vocabulary of this model, ", impl_->vocabulary.num_vocab);
  }
  const std::lock_guard one_step(impl_->step_mutex);
  const std::lock_guard lock(impl_->mutex);
  impl_->draft_model = std::make_unique<DraftModel>(draft, impl_->config.prefill_chunk);
}

RequestId Engine::add(std::vector<int32_t> prompt, const SamplingParams& params) {
  Sampler sampler(params, impl_->vocabulary.num_vocab, params.sample_index);
  sampler.prepare(impl_->vocabulary.token_bytes, impl_->vocabulary.stop_tokens);
  impl_->check_prompt(prompt, params.max_tokens);
  // The last token is never computed, only chosen.
  impl_->scheduler.check_fits(static_cast<int64_t>(prompt.size()) + params.max_tokens - 1);
  auto generation = std::make_unique<Generation>(std::move(sampler), &impl_->vocabulary);

  const std::lock_guard lock(impl_->mutex);
  impl_->check_queue();
  impl_->check_adapter(params.adapter);
  if (!params.grammar_type.empty()) {
    if (!impl_->compiler) {
      fail(ErrorKind::kInvalid, "this engine has no compiler for grammars; call use_grammars()");
    }
    auto guide = std::make_unique<Guide>();
    guide->ticket = impl_->compiler->compile({params.grammar_type, params.grammar});
    guide->mask.resize((static_cast<size_t>(impl_->vocabulary.num_vocab) + 31) / 32);
    generation->constrain(std::move(guide));
  }
  return impl_->add(
      std::make_unique<Request>(impl_->next_id++, std::move(prompt), std::move(generation)),
      {params.cache_salt, params.priority, params.adapter});
}

RequestId Engine::add_scoring(std::vector<int32_t> tokens, int32_t first, int32_t num_top,
                              const RequestScope& scope) {
  impl_->check_prompt(tokens, 0);
  const auto num_tokens = static_cast<int32_t>(tokens.size());
  if (first < 1 || first >= num_tokens) {
    fail(ErrorKind::kInvalid, "the first token to score is ", first, " of ", num_tokens,
         "; allowed: 1 to ", num_tokens - 1);
  }
  const int num_vocab = impl_->vocabulary.num_vocab;
  if (num_top < 0 || num_top > num_vocab) {
    fail(ErrorKind::kInvalid, "num_top is ", num_top, "; allowed: 0 to ", num_vocab);
  }
  std::vector<int32_t> targets(tokens.begin() + first, tokens.end());
  tokens.pop_back();  // nothing is asked of what follows it
  return impl_->add_row_request(std::move(tokens),
                                std::make_unique<Scoring>(std::move(targets), num_top, num_vocab),
                                scope, first - 1, false);
}

RequestId Engine::add_embedding(std::vector<int32_t> tokens, const RequestScope& scope) {
  impl_->check_prompt(tokens, 0);
  const Pooling pooling = impl_->runner->pooling();
  const int32_t first = Pooler::first_needed(pooling, static_cast<int32_t>(tokens.size()));
  return impl_->add_row_request(std::move(tokens),
                                std::make_unique<Embedding>(pooling, impl_->runner->hidden_size()),
                                scope, first, true);
}

void Engine::unload_adapter(int32_t adapter) {
  const std::lock_guard lock(impl_->mutex);
  impl_->check_adapter(adapter);
  const auto users =
      std::count_if(impl_->requests.begin(), impl_->requests.end(), [&](const auto& entry) {
        return !entry.second->finished() && entry.second->sequence.scope.second == adapter;
      });
  if (users > 0) {
    fail(ErrorKind::kInvalid, users,
         " requests still use the adapter; unload it when they have "
         "ended, or abort them");
  }
  if (adapter >= 0) impl_->runner->unload_adapter(adapter);
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

std::optional<RequestUpdate> Engine::poll(RequestId id) {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->requests.find(id);
  if (found == impl_->requests.end()) {
    fail(ErrorKind::kInvalid, "no request ", id, ": never added, or its last update was taken");
  }
  if (!found->second->has_news) return std::nullopt;
  return impl_->take_update(*found->second);
}

std::vector<RequestUpdate> Engine::poll_many(const std::vector<RequestId>& ids) {
  const std::lock_guard lock(impl_->mutex);
  std::vector<RequestUpdate> updates;
  for (const RequestId id : ids) {
    const auto found = impl_->requests.find(id);
    if (found == impl_->requests.end() || !found->second->has_news) continue;
    updates.push_back(impl_->take_update(*found->second));
  }
  return updates;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  const Scheduler& scheduler = impl_->scheduler;
  EngineStats stats;
  static_cast<EngineTotals&>(stats) = impl_->totals;
  stats.num_running = scheduler.num_running();
  stats.num_waiting = scheduler.num_waiting();
  stats.num_compiling = static_cast<int32_t>(impl_->compiling.size());
  stats.num_preemptions = scheduler.num_preemptions();
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
  {
    // Requests come and go as during a step: a sink takes its time, and may itself abort one.
    const std::lock_guard lock(impl_->mutex);
    impl_->stepping = true;
  }
  try {
    pyslm::save_prefixes(impl_->scheduler.blocks(), *impl_->runner, sink);
  } catch (...) {
    impl_->end_step();
    throw;
  }
  impl_->end_step();
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
