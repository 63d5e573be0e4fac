// Log probabilities as the model gave them: log-softmax of its raw logits, before logit bias,
// penalties, temperature and truncation (as vLLM's default and OpenAI's documents have it).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "sampling/candidates.h"
#include "sampling/reduce.h"
#include "sampling/select.h"

namespace pyslm {

struct TokenLogprob {
  int32_t token;
  float logprob;
};

// `chosen` first, then the `num_top` most likely, best first (`chosen` again where it is one).
inline std::vector<TokenLogprob> top_logprobs(const float* raw_logits, int num_vocab,
                                              int32_t chosen, int32_t num_top,
                                              SamplerWorkspace& work) {
  const float max = scan_logits(raw_logits, num_vocab, work.block_max).max;
  float* scratch = work.scratch.data();
  const double log_total =
      max + std::log(exponentiate(raw_logits, num_vocab, max, 1.0f, nullptr, scratch));
  const auto logprob = [&](int32_t token) {
    return TokenLogprob{token, static_cast<float>(raw_logits[token] - log_total)};
  };
  std::vector<TokenLogprob> result = {logprob(chosen)};
  if (num_top <= 0) return result;
  select_top(raw_logits, num_vocab, num_top, work.block_max, work.best);
  std::sort(work.best.begin(), work.best.end(), ranks_before);
  for (const ScoredToken& entry : work.best) result.push_back(logprob(entry.token));
  return result;
}

}  // namespace pyslm
