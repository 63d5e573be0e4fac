// Tokens that may not come next, whatever their logits: those outside allowed_token_ids or the
// grammar, those that would complete a bad word, and the end of the output before min_tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "sampling/params.h"
#include "sampling/penalties.h"

namespace pyslm {

// Whether any token of the set has a logit above -inf.
bool any_possible(const float* logits, const uint32_t* bits, int32_t num_vocab);

// What is known of a request's grammar while one token is chosen.
struct GrammarView {
  bool present = false;
  const uint32_t* bits = nullptr;  // of what it allows; null: not asked yet
};

class Restrictions {
 public:
  Restrictions() = default;
  Restrictions(const SamplingParams& params, int num_vocab);

  // token_bytes[i]: the text bytes of token i; end_tokens: what ends every request. Needed for
  // bad_words and min_tokens; one pass over the vocabulary where there are bad words.
  void prepare(const SamplingParams& params, const std::vector<std::string>& token_bytes,
               const std::unordered_set<int32_t>& end_tokens);

  // Whether apply() may change anything.
  bool active(const SamplingParams& params, const TokenHistory& history) const;

  // logits: [num_vocab], -inf for what may not come; already so for what the grammar's bits forbid.
  void apply(float* logits, const SamplingParams& params, const TokenHistory& history,
             const GrammarView& grammar) const;

 private:
  // Tokens that complete a bad word once the output ends with `begun`, its beginning.
  struct Completion {
    std::string begun;
    std::vector<int32_t> tokens;
  };

  void index_words(const std::vector<std::string>& words,
                   const std::vector<std::string>& token_bytes);
  void ban_words(float* logits, const TokenHistory& history) const;
  void ban_ends(float* logits, const uint32_t* grammar) const;

  int num_vocab_ = 0;
  std::vector<uint32_t> allowed_;  // bits; empty: all
  std::vector<int32_t> ends_;
  std::vector<int32_t> words_;  // tokens that hold a bad word whole
  std::vector<Completion> completions_;
  size_t longest_beginning_ = 0;
};

}  // namespace pyslm
