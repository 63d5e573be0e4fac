// How the next token is chosen. Defaults leave the model's distribution as it is.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pyslm {

struct SamplingParams {
  int32_t max_tokens = 256;
  int32_t priority = 0;      // the lower, the earlier it runs; equal: first come, first served
  std::string cache_salt;    // computed prefixes are shared only between requests of the same salt
  int32_t adapter = -1;      // LoRA adapter of the runner; -1: none
  int32_t min_tokens = 0;    // no end token, stop token or stop string takes effect before
  float temperature = 1.0f;  // 0: greedy
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float typical_p = 1.0f;
  float top_n_sigma = 0.0f;         // 0: off (Tang et al. 2024)
  float xtc_probability = 0.0f;     // 0: off; how often the most likely tokens are left out
  float xtc_threshold = 0.1f;       // which are: all of at least this probability but the last
  float repetition_penalty = 1.0f;  // over prompt and output (Keskar et al. 2019)
  float presence_penalty = 0.0f;    // over output only, as OpenAI defines them
  float frequency_penalty = 0.0f;
  int32_t penalty_last_n = -1;  // window for repetition_penalty; -1: everything
  float dry_multiplier = 0.0f;  // 0: off; penalty of the token that would go on a repetition
  float dry_base = 1.75f;       // ... times this for each token beyond
  int32_t dry_allowed_length = 2;
  int32_t dry_penalty_last_n = -1;  // tokens to look back on; -1: everything
  std::vector<std::string> dry_sequence_breakers = {"\n", ":", "\"", "*"};  // byte strings
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> allowed_token_ids;           // empty: all
  std::vector<std::vector<int32_t>> bad_token_ids;  // sequences that the output never holds
  std::vector<std::string> bad_words;               // byte strings likewise
  std::vector<int32_t> forced_tokens;               // the output begins with these, come what may
  uint64_t seed = 0;
  uint32_t sample_index = 0;  // tells apart the samples of one seed
  int32_t logprobs = -1;      // -1: none; n: the token's own and the n most likely
  std::vector<int32_t> stop_token_ids;
  std::vector<std::string> stop;  // byte strings
  bool include_stop_text = false;
  bool ignore_eos = false;
  std::string grammar_type;  // "": none; "json_schema", "regex" or "lark"
  std::string grammar;       // in llguidance's dialect of that
};

// Error(kInvalid) naming the field, its value and its range.
void validate(const SamplingParams& params, int num_vocab);

}  // namespace pyslm
