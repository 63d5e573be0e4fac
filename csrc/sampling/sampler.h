// Chooses the next token of one request. The order, equal to the peers' where they agree:
//
//   1. logprobs snapshot of the raw logits             (logprobs.h)
//   2. logit bias
//   3. repetition penalty, over prompt and output; presence and frequency, over output only
//   4. temperature (below 1e-5: the largest logit wins, lowest id on ties, and we are done)
//   5. top-k   6. typical   7. top-p   8. min-p         (truncate.h)
//   9. draw: inverse of the cumulative distribution in ascending order of token id, at a uniform
//      number that depends only on (seed, sample index, position)          (rng.h)
#pragma once

#include <cstdint>
#include <vector>

#include "sampling/candidates.h"
#include "sampling/logprobs.h"
#include "sampling/params.h"
#include "sampling/penalties.h"

namespace pyslm {

class Sampler {
 public:
  // Error(kInvalid) as validate(). `sample_index` tells apart the samples of one request.
  Sampler(SamplingParams params, int num_vocab, uint32_t sample_index = 0);

  // logits: [num_vocab], not changed; position: index in the sequence of the token to choose.
  // `logprobs`, where given and asked for, receives the token's own and the most likely ones.
  // Error(kInternal) where a logit is NaN or +inf, or all are -inf.
  int32_t sample(const float* logits, const TokenHistory& history, int64_t position,
                 SamplerWorkspace& work, std::vector<TokenLogprob>* logprobs = nullptr) const;

  // The distribution that sample() draws from: [num_vocab], sums to 1.
  std::vector<double> probabilities(const float* logits, const TokenHistory& history,
                                    SamplerWorkspace& work) const;

  const SamplingParams& params() const { return params_; }

 private:
  bool greedy() const { return params_.temperature < 1e-5f; }
  const float* adjust(const float* logits, const TokenHistory& history,
                      SamplerWorkspace& work) const;
  float checked_max(const float* logits) const;
  int32_t choose(const float* logits, int64_t position, SamplerWorkspace& work) const;
  void truncate(const float* logits, float max_logit, SamplerWorkspace& work) const;

  SamplingParams params_;
  int32_t num_vocab_;
  uint32_t sample_index_;
};

}  // namespace pyslm
