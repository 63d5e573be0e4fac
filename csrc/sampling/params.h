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
  float temperature = 1.0f;  // 0: greedy
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0f;
  float min_p = 0.0f;
  float typical_p = 1.0f;
  float repetition_penalty = 1.0f;  // over prompt and output (Keskar et al. 2019)
  float presence_penalty = 0.0f;    // over output only, as OpenAI defines them
  float frequency_penalty = 0.0f;
  int32_t penalty_last_n = -1;  // window for repetition_penalty; -1: everything
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
  int32_t logprobs = -1;  // -1: none; n: the token's own and the n most likely
  std::vector<int32_t> stop_token_ids;
  std::vector<std::string> stop;  // byte strings
  bool include_stop_text = false;
  bool ignore_eos = false;
};

// Error(kInvalid) naming the field, its value and its range.
void validate(const SamplingParams& params, int num_vocab);

}  // namespace pyslm
