#include "sampling/dry.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace pyslm {
namespace {

constexpr float kMaxExponent = 88.0f;  // of e, within float

// How many tokens at the end of the text lie wholly after the last sequence breaker.
int32_t tokens_after_breaker(std::span<const int32_t> tokens, const TokenHistory& history,
                             const std::vector<std::string>& breakers) {
  std::string text;
  for (const int32_t token : tokens) text += history.bytes_of(token);
  size_t end = 0;  // of the last breaker
  for (const std::string& breaker : breakers) {
    const size_t at = text.rfind(breaker);
    if (at != std::string::npos) end = std::max(end, at + breaker.size());
  }
  if (end == 0) return static_cast<int32_t>(tokens.size());
  int32_t count = 0;
  size_t begin = text.size();  // of the token after those looked at
  for (size_t i = tokens.size(); i-- > 0; ++count) {
    const size_t length = history.bytes_of(tokens[i]).size();
    if (length > 0 && begin - length < end) break;
    begin -= length;
  }
  return count;
}

// z[i]: how many tokens the text has in common, read backwards from its end and from i before its
// end. Gusfield's Z algorithm over the reversed text.
void backward_matches(std::span<const int32_t> tokens, std::vector<int32_t>& z) {
  const auto n = static_cast<int32_t>(tokens.size());
  const auto reversed = [&](int32_t i) { return tokens[static_cast<size_t>(n - 1 - i)]; };
  z.assign(static_cast<size_t>(n), 0);
  int32_t left = 0, right = 0;
  for (int32_t i = 1; i < n; ++i) {
    int32_t& match = z[static_cast<size_t>(i)];
    if (i < right) match = std::min(right - i, z[static_cast<size_t>(i - left)]);
    while (i + match < n && reversed(match) == reversed(i + match)) ++match;
    if (i + match > right) {
      left = i;
      right = i + match;
    }
  }
}

}  // namespace

void apply_dry(float* logits, const TokenHistory& history, const SamplingParams& p,
               SamplerWorkspace& work) {
  if (p.dry_multiplier == 0.0f || history.tokens.empty()) return;
  std::span<const int32_t> tokens = history.tokens;
  if (p.dry_penalty_last_n >= 0) {
    tokens = tokens.last(std::min(tokens.size(), static_cast<size_t>(p.dry_penalty_last_n)));
  }
  const int32_t limit = tokens_after_breaker(tokens, history, p.dry_sequence_breakers);
  if (limit < p.dry_allowed_length) return;
  std::vector<int32_t> matches;
  backward_matches(tokens, matches);
  std::vector<int32_t>& longest = work.counts;  // per token, all zero between uses
  const auto token_at = [&](size_t i) { return tokens[tokens.size() - 1 - i]; };
  for (size_t i = 1; i < tokens.size(); ++i) {
    int32_t& best = longest[static_cast<size_t>(token_at(i - 1))];
    best = std::max(best, std::min(matches[i], limit));
  }
  const float max_power = p.dry_base > 1.0f ? kMaxExponent / std::log(p.dry_base) : 0.0f;
  for (size_t i = 1; i < tokens.size(); ++i) {
    const int32_t token = token_at(i - 1);
    const int32_t length = std::exchange(longest[static_cast<size_t>(token)], 0);
    if (length == 0 || length < p.dry_allowed_length) continue;
    const auto power = static_cast<float>(length - p.dry_allowed_length);
    logits[token] -=
        p.dry_multiplier * std::pow(p.dry_base, max_power > 0 ? std::min(power, max_power) : power);
  }
}

}  // namespace pyslm
