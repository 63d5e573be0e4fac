// Changes to the logits of tokens that the text already holds, and of those the request names.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/params.h"

namespace pyslm {

struct TokenHistory {
  std::span<const int32_t> tokens;  // prompt, then output
  int32_t prompt_length = 0;
  const std::vector<std::string>* token_bytes = nullptr;  // the text of each token, where known

  std::string_view bytes_of(int32_t token) const {
    const auto index = static_cast<size_t>(token);
    if (token_bytes == nullptr || index >= token_bytes->size()) return {};
    return (*token_bytes)[index];
  }
  std::span<const int32_t> output() const {
    return tokens.subspan(static_cast<size_t>(prompt_length));
  }
};

inline bool adjusts_logits(const SamplingParams& p) {
  return !p.logit_bias.empty() || p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f ||
         p.frequency_penalty != 0.0f || p.dry_multiplier != 0.0f || p.top_n_sigma > 0.0f;
}

inline void apply_logit_bias(float* logits, const SamplingParams& p) {
  for (const auto& [token, bias] : p.logit_bias) logits[token] += bias;
}

// Calls body(token, count) once per distinct token. `counts` is all zero before and after.
template <class Body>
void for_each_distinct(std::span<const int32_t> tokens, std::vector<int32_t>& counts, Body&& body) {
  for (const int32_t token : tokens) ++counts[static_cast<size_t>(token)];
  for (const int32_t token : tokens) {
    int32_t& count = counts[static_cast<size_t>(token)];
    if (count > 0) body(token, count);
    count = 0;
  }
}

// Keskar et al. 2019 (CTRL), with the sign rule that all peers use: a token seen becomes less
// likely whether its logit is positive or negative.
inline void apply_repetition_penalty(float* logits, const TokenHistory& history,
                                     const SamplingParams& p, std::vector<int32_t>& counts) {
  if (p.repetition_penalty == 1.0f) return;
  std::span<const int32_t> window = history.tokens;
  if (p.penalty_last_n >= 0) {
    window = window.last(std::min(window.size(), static_cast<size_t>(p.penalty_last_n)));
  }
  for_each_distinct(window, counts, [&](int32_t token, int32_t) {
    float& x = logits[token];
    x = x > 0 ? x / p.repetition_penalty : x * p.repetition_penalty;
  });
}

// As OpenAI defines them: over the output, presence once and frequency per occurrence.
inline void apply_output_penalties(float* logits, const TokenHistory& history,
                                   const SamplingParams& p, std::vector<int32_t>& counts) {
  if (p.presence_penalty == 0.0f && p.frequency_penalty == 0.0f) return;
  for_each_distinct(history.output(), counts, [&](int32_t token, int32_t count) {
    logits[token] -= p.presence_penalty + p.frequency_penalty * static_cast<float>(count);
  });
}

}  // namespace pyslm
