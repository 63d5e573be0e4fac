#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "core/thread_pool.h"
#include "engine/impl.h"
#include "engine/prefix_stream.h"

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

}  // namespace

Engine::Impl::Impl(Runner* runner_in, const EngineConfig& settings, std::vector<std::string> bytes,
                   const std::vector<int32_t>& stops)
    : runner(runner_in),
      context_length(runner_in->context_length()),
      num_groups(runner_in->cache_groups().size()),
      config(settings),
      vocabulary{runner_in->num_vocab(), std::move(bytes), {stops.begin(), stops.end()}},
      workspaces(static_cast<size_t>(runner_in->num_threads())),
      masks_overlap(runner_in->num_threads() < default_num_threads()),
      scheduler(scheduler_config(*runner_in, config), runner_in->cache_groups()),
      speculator({config.max_draft, config.adaptive_draft}) {
  vocabulary.check("stop_tokens", stops);
  if (vocabulary.token_bytes.size() > static_cast<size_t>(vocabulary.num_vocab)) {
    fail(ErrorKind::kInvalid, "token_bytes has ", vocabulary.token_bytes.size(),
         " entries; allowed: at most the vocabulary of this model, ", vocabulary.num_vocab);
  }
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
