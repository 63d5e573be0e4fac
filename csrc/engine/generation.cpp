#include "engine/generation.h"

#include <algorithm>

namespace pyslm {

void Generation::guess(const Sequence& sequence, int32_t most) {
  guess_.tokens.clear();
  if (most < 1) return;
  const SuffixIndex::Match match = index_.find(sequence.tokens);
  if (match.length == 0) return;
  guess_.source = DraftSource::kLookup;
  guess_.match_length = match.length;
  const auto begin = sequence.tokens.begin() + match.next;
  const auto length = std::min<int64_t>(most, sequence.tokens.end() - begin);
  guess_.tokens.assign(begin, begin + length);
  trim_guess();
}

void Generation::set_guess(std::vector<int32_t> tokens) {
  guess_ = {DraftSource::kModel, 0, std::move(tokens)};
  trim_guess();
}

// Nothing comes after a stop, nor after what the grammar forbids.
void Generation::trim_guess() {
  std::vector<int32_t>& tokens = guess_.tokens;
  const auto stop =
      std::find_if(tokens.begin(), tokens.end(), [&](int32_t token) { return is_stop(token); });
  if (stop != tokens.end()) tokens.erase(stop + 1, tokens.end());
  if (guide_ && !tokens.empty()) tokens.resize(guide_->num_allowed(tokens));
}

void Generation::judge_guess(Acceptance& learned) {
  for (size_t i = 0; i < std::min(choices_.size(), guess_.tokens.size()); ++i) {
    if (choices_[i].error) return;
    const bool hit = choices_[i].token == guess_.tokens[i];
    learned.observe(guess_.source, guess_.match_length, hit, acceptance_);
    if (!hit) return;
  }
}

void Generation::process(Sequence& sequence, const float* rows, int32_t num_rows,
                         SamplerWorkspace& workspace) {
  choices_.clear();
  const size_t num_tokens = sequence.tokens.size();
  for (int32_t row = 0; row < num_rows; ++row) {
    choices_.push_back(choose(sequence, rows + int64_t{row} * vocabulary_.num_vocab, workspace));
    const Choice& choice = choices_.back();
    if (choice.error || choice.completes_grammar || row + 1 == num_rows) break;
    if (choice.token != sequence.draft[static_cast<size_t>(row)] || is_stop(choice.token)) break;
    // The draft was right, so the next row stands on what was truly chosen.
    sequence.tokens.push_back(choice.token);
  }
  sequence.tokens.resize(num_tokens);
}

Generation::Choice Generation::choose(const Sequence& sequence, const float* logits,
                                      SamplerWorkspace& workspace) {
  Choice choice;
  try {
    const TokenHistory history{sequence.tokens, sequence.prompt_length, &vocabulary_.token_bytes};
    choice.token = sampler_.sample(logits, history, sequence.num_tokens(), workspace,
                                   &choice.logprobs, guide_.get());
    if (guide_) choice.completes_grammar = guide_->advance(choice.token);
  } catch (const Error& error) {
    choice.error = error;  // fails this request and no other
  }
  return choice;
}

Progress Generation::commit(Sequence& sequence, RequestUpdate& update) {
  Progress progress;
  for (Choice& choice : choices_) {
    if (choice.error) {
      update.error = choice.error->what();
      update.error_kind = choice.error->kind();
      progress.finish = FinishReason::kError;
      break;
    }
    ++progress.num_outputs;
    update.output_tokens = ++num_output_;
    update.tokens.push_back(choice.token);
    if (!choice.logprobs.empty()) update.logprobs.push_back(std::move(choice.logprobs));
    sequence.tokens.push_back(choice.token);
    progress.finish = check_stop(choice, update);
    if (progress.finish != FinishReason::kNone) break;
  }
  sequence.next_output = sequence.num_tokens() - 1;
  return progress;
}

bool Generation::is_stop(int32_t token) const {
  const SamplingParams& params = sampler_.params();
  const auto& own_stops = params.stop_token_ids;
  return (!params.ignore_eos && vocabulary_.stop_tokens.contains(token)) ||
         std::find(own_stops.begin(), own_stops.end(), token) != own_stops.end();
}

FinishReason Generation::check_stop(const Choice& choice, RequestUpdate& update) {
  const SamplingParams& params = sampler_.params();
  const std::string_view bytes = vocabulary_.bytes_of(choice.token);
  if (is_stop(choice.token)) {
    if (params.include_stop_text) text_.append(bytes);
    update.stop_reason = std::to_string(choice.token);
    return FinishReason::kStop;
  }
  if (const std::string* stop = text_.append(bytes, num_output_ >= params.min_tokens)) {
    update.stop_reason = *stop;
    return FinishReason::kStop;
  }
  if (choice.completes_grammar) return FinishReason::kStop;
  return num_output_ >= params.max_tokens ? FinishReason::kLength : FinishReason::kNone;
}

void Generation::finish() {
  guide_.reset();
  text_.finish();
}

}  // namespace pyslm
