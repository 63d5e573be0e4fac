// A request that generates text: its tokens are sampled, checked against its grammar, its stops and
// its draft.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/guided.h"
#include "engine/task.h"
#include "engine/text_buffer.h"
#include "engine/vocabulary.h"
#include "sampling/sampler.h"
#include "spec/acceptance.h"
#include "spec/suffix_index.h"

namespace pyslm {

// A guess at the tokens to come, of which the scheduler may take a part as the sequence's draft.
struct Guess {
  DraftSource source = DraftSource::kLookup;
  int32_t match_length = 0;
  std::vector<int32_t> tokens;

  // None, or one that stands on a coincidence as likely as not.
  bool weak() const { return tokens.empty() || match_length <= SuffixIndex::kGram; }
};

class Generation final : public Task {
 public:
  Generation(Sampler sampler, const EngineVocabulary* vocabulary)
      : sampler_(std::move(sampler)),
        vocabulary_(*vocabulary),
        text_(sampler_.params().stop, sampler_.params().include_stop_text) {}

  const Sampler& sampler() const { return sampler_; }
  void constrain(std::unique_ptr<Guide> guide) { guide_ = std::move(guide); }

  // At most `most` tokens. What the grammar forbids is left out.
  void guess(const Sequence& sequence, int32_t most);
  // One of a draft model.
  void set_guess(std::vector<int32_t> tokens);
  const Guess& last_guess() const { return guess_; }
  RequestAcceptance& acceptance() { return acceptance_; }
  // Tokens it may still give.
  int32_t room() const { return sampler_.params().max_tokens - num_output_; }
  // Tells `learned` how the last guess came out. After process(), before commit().
  void judge_guess(Acceptance& learned);

  void process(Sequence& sequence, const float* rows, int32_t num_rows,
               SamplerWorkspace& workspace) override;
  Progress commit(Sequence& sequence, RequestUpdate& update) override;
  Guide* guide() override { return guide_.get(); }
  void finish() override;
  std::string take_bytes() override { return text_.take(); }

 private:
  struct Choice {
    int32_t token = -1;
    std::vector<TokenLogprob> logprobs;
    bool completes_grammar = false;
    std::optional<Error> error;
  };

  Choice choose(const Sequence& sequence, const float* logits, SamplerWorkspace& workspace);
  void trim_guess();
  bool is_stop(int32_t token) const;
  FinishReason check_stop(const Choice& choice, RequestUpdate& update);

  Sampler sampler_;
  const EngineVocabulary& vocabulary_;
  TextBuffer text_;
  std::unique_ptr<Guide> guide_;
  std::vector<Choice> choices_;  // of the step under way
  int32_t num_output_ = 0;
  SuffixIndex index_;
  Guess guess_;
  RequestAcceptance acceptance_;
};

}  // namespace pyslm
