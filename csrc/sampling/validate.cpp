#include <cmath>

#include "core/error.h"
#include "sampling/params.h"

namespace pyslm {
namespace {

constexpr size_t kMaxStops = 128;
constexpr size_t kMaxStopBytes = 4096;
constexpr int32_t kMaxLogprobs = 100;

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

void check_distribution(const SamplingParams& p) {
  if (!(p.temperature >= 0.0f && std::isfinite(p.temperature))) {
    fail(ErrorKind::kInvalid, "temperature is ", p.temperature,
         "; allowed: a finite number of at least 0 (0 chooses the most likely token)");
  }
  check_at_least("top_k", p.top_k, 0);
  check_range("top_p", p.top_p, 0.0f, 1.0f);
  check_range("min_p", p.min_p, 0.0f, 1.0f);
  check_range("typical_p", p.typical_p, 0.0f, 1.0f);
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
  if (p.stop.size() > kMaxStops) {
    fail(ErrorKind::kInvalid, "stop has ", p.stop.size(), " strings; allowed: at most ", kMaxStops);
  }
  for (const std::string& stop : p.stop) {
    if (!stop.empty() && stop.size() <= kMaxStopBytes) continue;
    fail(ErrorKind::kInvalid, "stop has a string of ", stop.size(), " bytes; allowed: 1 to ",
         kMaxStopBytes, " bytes each");
  }
}

}  // namespace

void validate(const SamplingParams& params, int num_vocab) {
  check_at_least("max_tokens", params.max_tokens, 1);
  check_distribution(params);
  check_penalties(params, num_vocab);
  check_range("logprobs", params.logprobs, -1, kMaxLogprobs);
  check_stops(params, num_vocab);
}

}  // namespace pyslm
