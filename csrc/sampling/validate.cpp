#include <cmath>

#include "core/error.h"
#include "sampling/params.h"

namespace pyslm {
namespace {

constexpr size_t kMaxStops = 128;
constexpr size_t kMaxStopBytes = 4096;
constexpr int32_t kMaxLogprobs = 100;
constexpr size_t kMaxBadWords = 1024;
constexpr size_t kMaxBadWordBytes = 256;
constexpr size_t kMaxBadBytes = 16384;
constexpr size_t kMaxGrammarBytes = size_t{256} << 10;  // see grammar/compiler.cpp

template <class T>
void check_range(const char* field, T value, T low, T high) {
  // Written so that NaN fails.
  if (value >= low && value <= high) return;
  fail(ErrorKind::kInvalid, field, " is ", value, "; allowed: ", low, " to ", high);
}

void check_at_least(const char* field, int32_t value, int32_t low) {
  if (value < low) fail(ErrorKind::kInvalid, field, " is ", value, "; allowed: at least ", low);
}

void check_token(const char* field, int32_t token, int num_vocab) {
  if (token >= 0 && token < num_vocab) return;
  fail(ErrorKind::kInvalid, field, " names token ", token, "; allowed: 0 to ", num_vocab - 1,
       " (the vocabulary of this model)");
}

void check_count(const char* field, const char* unit, size_t count, size_t most) {
  if (count <= most) return;
  fail(ErrorKind::kInvalid, field, " has ", count, " ", unit, "; allowed: at most ", most);
}

void check_strings(const char* field, const std::vector<std::string>& strings, size_t most,
                   size_t most_bytes) {
  check_count(field, "strings", strings.size(), most);
  for (const std::string& string : strings) {
    if (!string.empty() && string.size() <= most_bytes) continue;
    fail(ErrorKind::kInvalid, field, " has a string of ", string.size(), " bytes; allowed: 1 to ",
         most_bytes, " bytes each");
  }
}

void check_distribution(const SamplingParams& p) {
  if (!(p.temperature >= 0.0f && std::isfinite(p.temperature))) {
    fail(ErrorKind::kInvalid, "temperature is ", p.temperature,
         "; allowed: a finite number of at least 0 (0 chooses the most likely token)");
  }
  check_at_least("top_k", p.top_k, 0);
  check_range("top_p", p.top_p, 0.0f, 1.0f);
  check_range("min_p", p.min_p, 0.0f, 1.0f);
  check_range("typical_p", p.typical_p, 0.0f, 1.0f);
  check_range("top_n_sigma", p.top_n_sigma, 0.0f, 1000.0f);
  check_range("xtc_probability", p.xtc_probability, 0.0f, 1.0f);
  check_range("xtc_threshold", p.xtc_threshold, 0.0f, 1.0f);
}

void check_dry(const SamplingParams& p) {
  check_range("dry_multiplier", p.dry_multiplier, 0.0f, 100.0f);
  check_range("dry_base", p.dry_base, 1.0f, 100.0f);
  check_at_least("dry_allowed_length", p.dry_allowed_length, 1);
  check_at_least("dry_penalty_last_n", p.dry_penalty_last_n, -1);
  check_strings("dry_sequence_breakers", p.dry_sequence_breakers, kMaxStops, kMaxBadWordBytes);
}

void check_restrictions(const SamplingParams& p, int num_vocab) {
  for (const int32_t token : p.allowed_token_ids) {
    check_token("allowed_token_ids", token, num_vocab);
  }
  size_t total = p.bad_token_ids.size();
  check_count("bad_token_ids", "sequences", p.bad_token_ids.size(), kMaxBadWords);
  for (const auto& sequence : p.bad_token_ids) {
    if (sequence.empty()) {
      fail(ErrorKind::kInvalid, "bad_token_ids has an empty sequence; allowed: at least one token");
    }
    for (const int32_t token : sequence) check_token("bad_token_ids", token, num_vocab);
    total += sequence.size();
  }
  check_strings("bad_words", p.bad_words, kMaxBadWords, kMaxBadWordBytes);
  for (const std::string& word : p.bad_words) total += word.size();
  check_count("bad_words", "bytes, bad_token_ids included,", total, kMaxBadBytes);
}

void check_grammar(const SamplingParams& p) {
  const std::string& type = p.grammar_type;
  if (!type.empty() && type != "json_schema" && type != "regex" && type != "lark") {
    fail(ErrorKind::kInvalid, "grammar_type is \"", type.substr(0, 40),
         "\"; allowed: json_schema, regex, lark, or nothing");
  }
  if (type.empty() != p.grammar.empty()) {
    fail(ErrorKind::kInvalid, "grammar has ", p.grammar.size(), " bytes and grammar_type is \"",
         type, "\"; allowed: both or neither");
  }
  check_count("grammar", "bytes", p.grammar.size(), kMaxGrammarBytes);
  if (p.grammar.find('\0') != std::string::npos) {
    fail(ErrorKind::kInvalid, "grammar holds a NUL byte; allowed: any text without");
  }
}

void check_penalties(const SamplingParams& p, int num_vocab) {
  // Bounded so that no finite logit overflows.
  check_range("repetition_penalty", p.repetition_penalty, 0.01f, 100.0f);
  check_range("presence_penalty", p.presence_penalty, -2.0f, 2.0f);
  check_range("frequency_penalty", p.frequency_penalty, -2.0f, 2.0f);
  check_at_least("penalty_last_n", p.penalty_last_n, -1);
  for (const auto& [token, bias] : p.logit_bias) {
    check_token("logit_bias", token, num_vocab);
    check_range("logit_bias", bias, -100.0f, 100.0f);
  }
}

void check_stops(const SamplingParams& p, int num_vocab) {
  for (const int32_t token : p.stop_token_ids) check_token("stop_token_ids", token, num_vocab);
  check_strings("stop", p.stop, kMaxStops, kMaxStopBytes);
}

}  // namespace

void validate(const SamplingParams& params, int num_vocab) {
  check_at_least("max_tokens", params.max_tokens, 1);
  check_range("min_tokens", params.min_tokens, 0, params.max_tokens);
  check_distribution(params);
  check_penalties(params, num_vocab);
  check_range("logprobs", params.logprobs, -1, kMaxLogprobs);
  check_stops(params, num_vocab);
  check_dry(params);
  check_restrictions(params, num_vocab);
  for (const int32_t token : params.forced_tokens) check_token("forced_tokens", token, num_vocab);
  check_grammar(params);
}

}  // namespace pyslm
