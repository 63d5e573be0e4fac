// Chooses the next token of one request. The order, equal to the peers' where they agree:
//
//   1. logprobs snapshot of the raw logits                 (logprobs.h)
//   2. what may not come next: grammar, allowed_token_ids, bad words, the end before min_tokens;
//      everything after sees -inf there                    (restrict.h)
//   3. logit bias
//   4. repetition penalty, over prompt and output; presence and frequency, over output only
//   5. DRY                                                 (dry.h)
//   6. temperature (below 1e-5: the largest logit wins, lowest id on ties, and we are done)
//   7. top-n-sigma, which temperature does not change: logits within n standard deviations of the
//      largest, over all tokens that may come
//   8. top-k   9. typical   10. top-p   11. min-p   12. XTC (truncate.h)
//  (where top-p and min-p alone cut a whole vocabulary: draw first, and again while the token is
//  not among those that are left; the same distribution without finding them all)
//  (under a grammar, where nothing of 7 to 12 is asked for: first a token as if there were none,
//  and only where the grammar forbids it one of those it allows; the same distribution again, and
//  a model that writes what it was asked for costs no mask)
//  13. draw: inverse of the cumulative distribution in ascending order of token id, at a uniform
//      number that depends only on (seed, sample index, position)          (rng.h)
//
// This is llama.cpp's default order but for the temperature, which it has last and vLLM first.
#pragma once

#include <cstdint>
#include <vector>

#include "sampling/allowed.h"
#include "sampling/candidates.h"
#include "sampling/logprobs.h"
#include "sampling/params.h"
#include "sampling/penalties.h"
#include "sampling/restrict.h"
#include "sampling/rng.h"

namespace pyslm {

class Sampler {
 public:
  // Error(kInvalid) as validate(). `sample_index` tells apart the samples of one request.
  Sampler(SamplingParams params, int num_vocab, uint32_t sample_index = 0);

  // What bad_words and min_tokens need to know of the model; see Restrictions.
  void prepare(const std::vector<std::string>& token_bytes,
               const std::unordered_set<int32_t>& end_tokens) {
    restrictions_.prepare(params_, token_bytes, end_tokens);
  }

  // logits: [num_vocab], not changed; position: index in the sequence of the token to choose.
  // `logprobs`, where given and asked for, receives the token's own and the most likely ones.
  // grammar: what it allows next, or nullptr.
  // Error(kInternal) where a logit is NaN or +inf, or all are -inf; Error(kInvalid) where the
  // request leaves no token.
  int32_t sample(const float* logits, const TokenHistory& history, int64_t position,
                 SamplerWorkspace& work, std::vector<TokenLogprob>* logprobs = nullptr,
                 AllowedTokens* grammar = nullptr) const;

  // The distribution that sample() draws from: [num_vocab], sums to 1.
  std::vector<double> probabilities(const float* logits, const TokenHistory& history,
                                    SamplerWorkspace& work, int64_t position = 0) const;

  const SamplingParams& params() const { return params_; }

 private:
  bool greedy() const { return params_.temperature < 1e-5f; }
  int32_t sample_guided(const float* logits, const TokenHistory& history, int64_t position,
                        SamplerWorkspace& work, AllowedTokens& grammar) const;
  bool proposes_first() const;
  const float* adjust(const float* logits, const TokenHistory& history, const GrammarView& grammar,
                      SamplerWorkspace& work) const;
  float checked_max(const float* logits, SamplerWorkspace& work) const;
  void check_any_left(const float* logits, const float* restricted, const uint32_t* grammar) const;
  void drop_outside_sigma(float* logits, SamplerWorkspace& work) const;
  // Numbers are drawn from `first` and the streams behind it.
  int32_t choose(const float* logits, int64_t position, RandomStream first, SamplerWorkspace& work,
                 const uint32_t* grammar = nullptr) const;
  bool draws_first(const uint32_t* grammar) const;
  int32_t draw_until_kept(const float* logits, float max_logit, int64_t position,
                          RandomStream first, SamplerWorkspace& work) const;
  double uniform(int64_t position, RandomStream stream, uint32_t offset = 0) const;
  bool is_kept(int32_t token, double total, const SamplerWorkspace& work) const;
  void truncate(const float* logits, float max_logit, int64_t position, SamplerWorkspace& work,
                const uint32_t* grammar = nullptr) const;

  SamplingParams params_;
  Restrictions restrictions_;
  int32_t num_vocab_;
  uint32_t sample_index_;
};

}  // namespace pyslm
