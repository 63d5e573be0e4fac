#include "sampling/sampler.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "sampling/reduce.h"
#include "sampling/rng.h"
#include "sampling/truncate.h"

namespace pyslm {
namespace {

// The candidate at which the running sum of mass first exceeds u * total. Whole blocks are skipped
// by the same sums that made up the total.
int32_t draw(const Candidates& c, double u) {
  const auto count = static_cast<int64_t>(c.count);
  double remaining = u * c.total;
  int64_t block = 0;
  for (; block + kSumBlock < count; block += kSumBlock) {
    const double block_mass = sum_block(c.mass.data() + block, kSumBlock);
    if (remaining < block_mass) break;
    remaining -= block_mass;
  }
  for (int64_t i = block; i < count; ++i) {
    if (remaining < c.mass[i]) return c.ids[i];
    remaining -= c.mass[i];
  }
  // Rounding left us beyond the end: the last that has any mass.
  int64_t last = count - 1;
  while (last > 0 && c.mass[last] == 0) --last;
  return c.ids[last];
}

}  // namespace

Sampler::Sampler(SamplingParams params, int num_vocab, uint32_t sample_index)
    : params_(std::move(params)), num_vocab_(num_vocab), sample_index_(sample_index) {
  validate(params_, num_vocab);
}

int32_t Sampler::sample(const float* logits, const TokenHistory& history, int64_t position,
                        SamplerWorkspace& work, std::vector<TokenLogprob>* logprobs) const {
  work.reserve(static_cast<size_t>(num_vocab_));
  const int32_t token = choose(adjust(logits, history, work), position, work);
  if (logprobs != nullptr && params_.logprobs >= 0) {
    *logprobs = top_logprobs(logits, num_vocab_, token, params_.logprobs, work);
  }
  return token;
}

std::vector<double> Sampler::probabilities(const float* logits, const TokenHistory& history,
                                           SamplerWorkspace& work) const {
  work.reserve(static_cast<size_t>(num_vocab_));
  const float* adjusted = adjust(logits, history, work);
  const float max = checked_max(adjusted);
  std::vector<double> result(static_cast<size_t>(num_vocab_), 0.0);
  if (greedy()) {
    result[static_cast<size_t>(find_first(adjusted, num_vocab_, max))] = 1.0;
    return result;
  }
  truncate(adjusted, max, work);
  const Candidates& c = work.candidates;
  for (size_t i = 0; i < c.count; ++i) {
    result[static_cast<size_t>(c.ids[i])] = c.mass[i] / c.total;
  }
  return result;
}

const float* Sampler::adjust(const float* logits, const TokenHistory& history,
                             SamplerWorkspace& work) const {
  if (!adjusts_logits(params_)) return logits;
  std::copy(logits, logits + num_vocab_, work.adjusted.begin());
  apply_logit_bias(work.adjusted.data(), params_);
  apply_repetition_penalty(work.adjusted.data(), history, params_, work.counts);
  apply_output_penalties(work.adjusted.data(), history, params_, work.counts);
  return work.adjusted.data();
}

float Sampler::checked_max(const float* logits) const {
  const LogitScan scan = scan_logits(logits, num_vocab_);
  if (scan.unusable || scan.max == -std::numeric_limits<float>::infinity()) {
    fail(ErrorKind::kInternal, "the model gave logits that cannot be sampled (",
         scan.unusable ? "NaN or +inf among them" : "all -inf",
         "); the weights are damaged or overflow in this format");
  }
  return scan.max;
}

int32_t Sampler::choose(const float* logits, int64_t position, SamplerWorkspace& work) const {
  const float max = checked_max(logits);
  if (greedy()) return static_cast<int32_t>(find_first(logits, num_vocab_, max));
  truncate(logits, max, work);
  return draw(work.candidates,
              uniform_draw(params_.seed, sample_index_, static_cast<uint64_t>(position)));
}

void Sampler::truncate(const float* logits, float max_logit, SamplerWorkspace& work) const {
  start_candidates(logits, num_vocab_, max_logit, params_.temperature, params_.top_k, work);
  if (params_.typical_p < 1.0f) keep_typical(params_.typical_p, work);
  if (params_.top_p < 1.0f) keep_top_p(params_.top_p, work);
  if (params_.min_p > 0.0f) keep_min_p(params_.min_p, work);
}

}  // namespace pyslm
