#include "sampling/truncate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "sampling/reduce.h"

namespace pyslm {
namespace {

constexpr int kBuckets = 1024;
constexpr float kKeyRange = 32.0f;  // keys at or above it share the last bucket

int bucket_of(float key) {
  return std::min(kBuckets - 1,
                  static_cast<int>(std::min(key, kKeyRange) * (kBuckets / kKeyRange)));
}

// Keeps the candidates for which keep(index) holds, in order.
template <class Keep>
void compact(Candidates& c, Keep&& keep) {
  size_t kept = 0;
  for (size_t i = 0; i < c.ids.size(); ++i) {
    // Written unconditionally: a branch here would be mispredicted for every other token.
    const bool stays = keep(i);
    c.ids[kept] = c.ids[i];
    c.scores[kept] = c.scores[i];
    c.mass[kept] = c.mass[i];
    kept += stays;
  }
  c.ids.resize(kept);
  c.scores.resize(kept);
  c.mass.resize(kept);
  c.total = sum(c.mass.data(), c.size());
}

struct Cut {
  float key;
  size_t index;
};

// The last candidate, in ascending order of (key, index), of the fewest whose mass reaches
// `target`. A histogram over keys finds the bucket that crosses; only that bucket is sorted.
Cut find_cut(const Candidates& c, const std::vector<float>& keys, double target) {
  std::array<double, kBuckets> bucket_mass{};
  for (size_t i = 0; i < keys.size(); ++i) bucket_mass[bucket_of(keys[i])] += c.mass[i];
  double reached = 0;
  int crossing = -1;
  for (int b = 0; b < kBuckets; ++b) {
    if (bucket_mass[b] == 0) continue;
    crossing = b;  // stays at the last bucket with mass where rounding never lets us reach it
    if (reached + bucket_mass[b] >= target) break;
    reached += bucket_mass[b];
  }
  std::vector<std::pair<float, size_t>> undecided;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (c.mass[i] > 0 && bucket_of(keys[i]) == crossing) undecided.emplace_back(keys[i], i);
  }
  std::sort(undecided.begin(), undecided.end());
  for (const auto& [key, index] : undecided) {
    reached += c.mass[index];
    if (reached >= target) return {key, index};
  }
  return {undecided.back().first, undecided.back().second};
}

// Keys must be at least 0 and not NaN.
void keep_mass(Candidates& c, const std::vector<float>& keys, double fraction) {
  const Cut cut = find_cut(c, keys, fraction * c.total);
  compact(c, [&](size_t i) { return keys[i] < cut.key || (keys[i] == cut.key && i <= cut.index); });
}

double entropy(const Candidates& c) {
  const double log_total = std::log(c.total);
  double weighted = 0;  // sum of mass * score
  for (size_t i = 0; i < c.ids.size(); ++i) {
    if (c.mass[i] > 0) weighted += static_cast<double>(c.mass[i]) * c.scores[i];
  }
  return log_total - weighted / c.total;
}

}  // namespace

void start_candidates(const float* logits, int32_t num_vocab, float max_logit, float temperature,
                      int32_t top_k, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  if (top_k > 0 && top_k < num_vocab) {
    select_top(logits, num_vocab, top_k, work.best);
    std::sort(work.best.begin(), work.best.end(),
              [](const ScoredToken& a, const ScoredToken& b) { return a.token < b.token; });
    c.ids.clear();
    c.scores.clear();
    for (const ScoredToken& entry : work.best) {
      c.ids.push_back(entry.token);
      c.scores.push_back(entry.score);
    }
  } else {
    c.ids.resize(static_cast<size_t>(num_vocab));
    std::iota(c.ids.begin(), c.ids.end(), 0);
    c.scores.assign(logits, logits + num_vocab);
  }
  shift_and_scale(c.scores.data(), c.size(), max_logit, 1.0f / temperature, c.scores.data());
  c.mass.resize(c.ids.size());
  exp_nonpositive(c.scores.data(), c.size(), c.mass.data());
  c.total = sum(c.mass.data(), c.size());
}

void keep_typical(float typical_p, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  const double expected = entropy(c);
  const double log_total = std::log(c.total);
  work.scratch.resize(c.ids.size());
  for (size_t i = 0; i < c.ids.size(); ++i) {
    const double information = log_total - c.scores[i];
    work.scratch[i] = static_cast<float>(std::fabs(information - expected));
  }
  keep_mass(c, work.scratch, typical_p);
}

void keep_top_p(float top_p, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  work.scratch.resize(c.ids.size());
  for (size_t i = 0; i < c.ids.size(); ++i) work.scratch[i] = -c.scores[i];
  keep_mass(c, work.scratch, top_p);
}

void keep_min_p(float min_p, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  const float threshold = min_p * *std::max_element(c.mass.begin(), c.mass.end());
  compact(c, [&](size_t i) { return c.mass[i] >= threshold; });
}

}  // namespace pyslm
