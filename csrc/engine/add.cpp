// How requests come into the engine: checked, made and queued.
#include <utility>

#include "core/error.h"
#include "engine/embedding.h"
#include "engine/generation.h"
#include "engine/impl.h"
#include "engine/scoring.h"

namespace pyslm {

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

void Engine::Impl::check_prompt(const std::vector<int32_t>& tokens, int64_t num_output) const {
  if (tokens.empty()) {
    fail(ErrorKind::kInvalid, "the prompt has no tokens; at least one is needed");
  }
  vocabulary.check("the prompt", tokens);
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
    auto ticket = impl_->compiler->compile({params.grammar_type, params.grammar});
    auto guide = std::make_unique<Guide>(std::move(ticket), &impl_->vocabulary);
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

}  // namespace pyslm
