#include "sampling/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "isa/select.h"
#include "sampling/dry.h"
#include "sampling/reduce.h"
#include "sampling/rng.h"
#include "sampling/truncate.h"

namespace pyslm {
namespace {

constexpr float kLeastDrawnFirst = 0.5f;  // a smaller top-p would take too many tries
constexpr uint32_t kMostTries = 16;

// Where the running sum of mass first exceeds `target`.
int32_t locate(double target, const float* mass, int64_t n, const std::vector<double>& block_sums) {
  size_t block = 0;
  for (; block + 1 < block_sums.size() && target >= block_sums[block]; ++block) {
    target -= block_sums[block];
  }
  for (int64_t i = static_cast<int64_t>(block) * kLogitBlock; i < n; ++i) {
    if (target < mass[i]) return static_cast<int32_t>(i);
    target -= mass[i];
  }
  // Rounding left us beyond the end: the last that has any mass.
  int64_t last = n - 1;
  while (last > 0 && mass[last] == 0) --last;
  return static_cast<int32_t>(last);
}

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
  restrictions_ = Restrictions(params_, num_vocab);
}

int32_t Sampler::sample(const float* logits, const TokenHistory& history, int64_t position,
                        SamplerWorkspace& work, std::vector<TokenLogprob>* logprobs,
                        AllowedTokens* grammar) const {
  work.reserve(static_cast<size_t>(num_vocab_));
  int32_t token = grammar != nullptr ? sample_guided(logits, history, position, work, *grammar)
                                     : choose(adjust(logits, history, {}, work), position,
                                              RandomStream::kToken, work);
  const auto index = static_cast<size_t>(position - history.prompt_length);
  if (index < params_.forced_tokens.size()) token = params_.forced_tokens[index];
  if (logprobs != nullptr && params_.logprobs >= 0) {
    *logprobs = top_logprobs(logits, num_vocab_, token, params_.logprobs, work);
  }
  return token;
}

// Rejection sampling with one try: what is allowed keeps its share, and the rest is drawn anew
// among what is allowed, independently.
int32_t Sampler::sample_guided(const float* logits, const TokenHistory& history, int64_t position,
                               SamplerWorkspace& work, AllowedTokens& grammar) const {
  RandomStream stream = RandomStream::kToken;
  if (proposes_first()) {
    const float* adjusted = adjust(logits, history, {true, nullptr}, work);
    const int32_t token = choose(adjusted, position, stream, work);
    if (grammar.has(token)) return token;
    stream = RandomStream::kAllowed;
  }
  const uint32_t* bits = grammar.bits();
  return choose(adjust(logits, history, {true, bits}, work), position, stream, work, bits);
}

// Whether a token's chances among those allowed are its chances among all, scaled.
bool Sampler::proposes_first() const {
  const SamplingParams& p = params_;
  return greedy() ||
         ((p.top_k <= 0 || p.top_k >= num_vocab_) && p.typical_p >= 1.0f && p.top_p >= 1.0f &&
          p.min_p <= 0.0f && p.top_n_sigma <= 0.0f && p.xtc_probability <= 0.0f);
}

std::vector<double> Sampler::probabilities(const float* logits, const TokenHistory& history,
                                           SamplerWorkspace& work, int64_t position) const {
  work.reserve(static_cast<size_t>(num_vocab_));
  const float* adjusted = adjust(logits, history, {}, work);
  const float max = checked_max(adjusted, work);
  std::vector<double> result(static_cast<size_t>(num_vocab_), 0.0);
  if (greedy()) {
    result[static_cast<size_t>(find_first(adjusted, num_vocab_, max, work.block_max))] = 1.0;
    return result;
  }
  truncate(adjusted, max, position, work);
  const Candidates& c = work.candidates;
  for (size_t i = 0; i < c.count; ++i) {
    result[static_cast<size_t>(c.ids[i])] = c.mass[i] / c.total;
  }
  return result;
}

const float* Sampler::adjust(const float* logits, const TokenHistory& history,
                             const GrammarView& grammar, SamplerWorkspace& work) const {
  const bool restricts = grammar.bits != nullptr || (grammar.present && params_.ignore_eos) ||
                         restrictions_.active(params_, history);
  if (!restricts && !adjusts_logits(params_)) return logits;
  float* adjusted = work.adjusted.data();
  if (grammar.bits != nullptr) {
    select_kernels().keep_allowed(logits, grammar.bits, num_vocab_, adjusted);
  } else {
    std::copy(logits, logits + num_vocab_, adjusted);
  }
  if (restricts) {
    restrictions_.apply(adjusted, params_, history, grammar);
    check_any_left(logits, adjusted, grammar.bits);
  }
  apply_logit_bias(adjusted, params_);
  apply_repetition_penalty(adjusted, history, params_, work.counts);
  apply_output_penalties(adjusted, history, params_, work.counts);
  apply_dry(adjusted, history, params_, work);
  if (params_.top_n_sigma > 0.0f && !greedy()) drop_outside_sigma(adjusted, work);
  return adjusted;
}

void Sampler::check_any_left(const float* logits, const float* restricted,
                             const uint32_t* grammar) const {
  const auto possible = [](float logit) {
    return logit != -std::numeric_limits<float>::infinity();
  };
  const bool any = grammar != nullptr ? any_possible(restricted, grammar, num_vocab_)
                                      : std::any_of(restricted, restricted + num_vocab_, possible);
  if (any || std::none_of(logits, logits + num_vocab_, possible)) return;  // or the model's fault
  fail(ErrorKind::kInvalid,
       "no token may come next: grammar, allowed_token_ids, bad_words and min_tokens together "
       "leave none; loosen one of them");
}

void Sampler::drop_outside_sigma(float* logits, SamplerWorkspace& work) const {
  const float max = checked_max(logits, work);
  const double deviation = spread_of(logits, num_vocab_, max).deviation;
  drop_below(logits, num_vocab_, static_cast<float>(max - params_.top_n_sigma * deviation));
}

float Sampler::checked_max(const float* logits, SamplerWorkspace& work) const {
  const LogitScan scan = scan_logits(logits, num_vocab_, work.block_max);
  if (scan.unusable || scan.max == -std::numeric_limits<float>::infinity()) {
    fail(ErrorKind::kInternal, "the model gave logits that cannot be sampled (",
         scan.unusable ? "NaN or +inf among them" : "all -inf",
         "); the weights are damaged or overflow in this format");
  }
  return scan.max;
}

int32_t Sampler::choose(const float* logits, int64_t position, RandomStream first,
                        SamplerWorkspace& work, const uint32_t* grammar) const {
  const float max = checked_max(logits, work);
  if (greedy()) return static_cast<int32_t>(find_first(logits, num_vocab_, max, work.block_max));
  if (draws_first(grammar)) return draw_until_kept(logits, max, position, first, work);
  truncate(logits, max, position, work, grammar);
  return draw(work.candidates, uniform(position, first));
}

double Sampler::uniform(int64_t position, RandomStream stream, uint32_t offset) const {
  return uniform_draw(params_.seed, sample_index_, static_cast<uint64_t>(position),
                      static_cast<RandomStream>(static_cast<uint32_t>(stream) + offset));
}

bool Sampler::draws_first(const uint32_t* grammar) const {
  return (params_.top_k <= 0 || params_.top_k >= num_vocab_) && params_.typical_p >= 1.0f &&
         params_.xtc_probability <= 0.0f && params_.top_p >= kLeastDrawnFirst &&
         (grammar == nullptr || !few_allowed(grammar, num_vocab_));
}

// Rejection sampling: each try is independent, so what is kept has the distribution of a draw among
// those kept.
int32_t Sampler::draw_until_kept(const float* logits, float max_logit, int64_t position,
                                 RandomStream first, SamplerWorkspace& work) const {
  const int64_t n = num_vocab_;
  float* mass = work.candidates.mass.data();
  work.block_sums.resize(static_cast<size_t>((n + kLogitBlock - 1) / kLogitBlock));
  const double total = select_kernels().exponentiate(
      logits, n, max_logit, 1.0f / params_.temperature, nullptr, mass, work.block_sums.data());
  for (uint32_t attempt = 0; attempt < kMostTries; ++attempt) {
    const double u = uniform(position, first, attempt == 0 ? 0 : kRetry + attempt);
    const int32_t token = locate(u * total, mass, n, work.block_sums);
    if (is_kept(token, total, work)) return token;
  }
  truncate(logits, max_logit, position, work);
  return draw(work.candidates, uniform(position, first, kRetry));
}

// By top-p: what is more likely has less than top_p of all mass; of equals the lower ids come
// first. By min-p: the most likely has mass 1.
bool Sampler::is_kept(int32_t token, double total, const SamplerWorkspace& work) const {
  const float* mass = work.candidates.mass.data();
  const float own = mass[token];
  if (own < params_.min_p) return false;
  if (params_.top_p >= 1.0f) return true;
  const auto sum_from = select_kernels().sum_from;
  const float more = std::nextafter(own, std::numeric_limits<float>::infinity());
  const double before =
      sum_from(mass, token, own) + sum_from(mass + token + 1, num_vocab_ - token - 1, more);
  return before < params_.top_p * total;
}

void Sampler::truncate(const float* logits, float max_logit, int64_t position,
                       SamplerWorkspace& work, const uint32_t* grammar) const {
  start_candidates(logits, num_vocab_, max_logit, params_.temperature, params_.top_k, work,
                   grammar);
  if (params_.typical_p < 1.0f) keep_typical(params_.typical_p, work);
  if (params_.top_p < 1.0f) keep_top_p(params_.top_p, work);
  if (params_.min_p > 0.0f) keep_min_p(params_.min_p, work);
  if (params_.xtc_probability > 0.0f &&
      uniform(position, RandomStream::kXtc) < params_.xtc_probability) {
    drop_top_choices(params_.xtc_threshold, work);
  }
}

}  // namespace pyslm
