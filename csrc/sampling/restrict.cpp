#include "sampling/restrict.h"

#include <algorithm>
#include <array>
#include <limits>

#include "isa/select.h"
#include "sampling/bits.h"

namespace pyslm {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

bool ends_with(std::span<const int32_t> tokens, std::span<const int32_t> tail) {
  return tokens.size() >= tail.size() &&
         std::equal(tail.begin(), tail.end(), tokens.end() - static_cast<ptrdiff_t>(tail.size()));
}

void ban_sequences(float* logits, const SamplingParams& params, const TokenHistory& history) {
  for (const std::vector<int32_t>& sequence : params.bad_token_ids) {
    const std::span<const int32_t> begun(sequence.data(), sequence.size() - 1);
    if (ends_with(history.output(), begun)) logits[sequence.back()] = kNever;
  }
}

// The last bytes of the output's text, at most `count`.
std::string output_tail(const TokenHistory& history, size_t count) {
  std::string tail;
  const std::span<const int32_t> output = history.output();
  for (size_t i = output.size(); i-- > 0 && tail.size() < count;) {
    tail.insert(0, history.bytes_of(output[i]));
  }
  if (tail.size() > count) tail.erase(0, tail.size() - count);
  return tail;
}

bool has_at(std::string_view text, size_t at, std::string_view part) {
  return text.substr(at, part.size()) == part;
}

}  // namespace

bool any_possible(const float* logits, const uint32_t* bits, int32_t num_vocab) {
  bool any = false;
  for_each_bit(bits, num_vocab, [&](int32_t token) {
    any = logits[token] != kNever;
    return !any;
  });
  return any;
}

Restrictions::Restrictions(const SamplingParams& params, int num_vocab) : num_vocab_(num_vocab) {
  if (params.allowed_token_ids.empty()) return;
  allowed_.resize((static_cast<size_t>(num_vocab) + 31) / 32);
  for (const int32_t token : params.allowed_token_ids) {
    allowed_[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
  }
}

void Restrictions::prepare(const SamplingParams& params,
                           const std::vector<std::string>& token_bytes,
                           const std::unordered_set<int32_t>& end_tokens) {
  if (params.min_tokens > 0 || params.ignore_eos) {
    ends_.assign(end_tokens.begin(), end_tokens.end());
  }
  if (params.min_tokens > 0) {
    ends_.insert(ends_.end(), params.stop_token_ids.begin(), params.stop_token_ids.end());
  }
  if (!params.bad_words.empty()) index_words(params.bad_words, token_bytes);
}

void Restrictions::index_words(const std::vector<std::string>& words,
                               const std::vector<std::string>& token_bytes) {
  struct Rest {
    size_t completion;
    std::string_view text;
  };
  std::array<std::vector<std::string_view>, 256> words_by_byte;
  std::array<std::vector<Rest>, 256> rests_by_byte;
  for (const std::string& word : words) {
    words_by_byte[static_cast<uint8_t>(word[0])].push_back(word);
    for (size_t cut = 1; cut < word.size(); ++cut) {
      rests_by_byte[static_cast<uint8_t>(word[cut])].push_back(
          {completions_.size(), std::string_view(word).substr(cut)});
      completions_.push_back({word.substr(0, cut), {}});
      longest_beginning_ = std::max(longest_beginning_, cut);
    }
  }
  for (size_t id = 0; id < token_bytes.size(); ++id) {
    const std::string& bytes = token_bytes[id];
    if (bytes.empty()) continue;
    bool whole = false;
    for (size_t at = 0; at < bytes.size() && !whole; ++at) {
      for (const std::string_view word : words_by_byte[static_cast<uint8_t>(bytes[at])]) {
        whole = whole || has_at(bytes, at, word);
      }
    }
    if (whole) words_.push_back(static_cast<int32_t>(id));
    for (const Rest& rest : rests_by_byte[static_cast<uint8_t>(bytes[0])]) {
      if (has_at(bytes, 0, rest.text)) {
        completions_[rest.completion].tokens.push_back(static_cast<int32_t>(id));
      }
    }
  }
  std::erase_if(completions_, [](const Completion& entry) { return entry.tokens.empty(); });
}

bool Restrictions::active(const SamplingParams& params, const TokenHistory& history) const {
  return !allowed_.empty() || !words_.empty() || !completions_.empty() ||
         !params.bad_token_ids.empty() ||
         history.output().size() < static_cast<size_t>(params.min_tokens);
}

void Restrictions::apply(float* logits, const SamplingParams& params, const TokenHistory& history,
                         const GrammarView& grammar) const {
  if (!allowed_.empty()) {
    select_kernels().keep_allowed(logits, allowed_.data(), num_vocab_, logits);
  }
  ban_words(logits, history);
  ban_sequences(logits, params, history);
  const bool too_short = history.output().size() < static_cast<size_t>(params.min_tokens);
  if (too_short || (grammar.present && params.ignore_eos)) {
    ban_ends(logits, grammar.bits);
  }
}

void Restrictions::ban_words(float* logits, const TokenHistory& history) const {
  for (const int32_t token : words_) logits[token] = kNever;
  if (completions_.empty()) return;
  const std::string tail = output_tail(history, longest_beginning_);
  for (const Completion& completion : completions_) {
    if (!std::string_view(tail).ends_with(completion.begun)) continue;
    for (const int32_t token : completion.tokens) logits[token] = kNever;
  }
}

// A grammar that is complete leaves nothing but the end: then the end it is.
void Restrictions::ban_ends(float* logits, const uint32_t* grammar) const {
  std::vector<float> saved;
  for (const int32_t token : ends_) saved.push_back(std::exchange(logits[token], kNever));
  if (grammar == nullptr || any_possible(logits, grammar, num_vocab_)) return;
  // Backwards, so that a token named twice gets its own back.
  for (size_t i = ends_.size(); i-- > 0;) logits[ends_[i]] = saved[i];
}

}  // namespace pyslm
