#include "sampling/truncate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "sampling/bits.h"
#include "sampling/reduce.h"

namespace pyslm {
namespace {

constexpr int kFew = 8;  // allowed tokens are few where they are less than one in so many
constexpr int kBuckets = 1024;
constexpr float kMaxKey = 32.0f;  // keys at or above it share the last bucket

// Keeps the candidates for which keep(index) holds, in order. `total` is the caller's to update.
template <class Keep>
void compact(SamplerWorkspace& work, Keep&& keep) {
  Candidates& c = work.candidates;
  size_t kept = 0;
  for (size_t i = 0; i < c.count; ++i) {
    // Written unconditionally: a branch on what is near chance would be mispredicted.
    work.indices[kept] = static_cast<int32_t>(i);
    kept += keep(i) ? 1 : 0;
  }
  for (size_t i = 0; i < kept; ++i) {
    const auto from = static_cast<size_t>(work.indices[i]);
    c.ids[i] = c.ids[from];
    c.scores[i] = c.scores[from];
    c.mass[i] = c.mass[from];
  }
  c.count = kept;
}

void update_total(Candidates& c) { c.total = sum(c.mass.data(), static_cast<int64_t>(c.count)); }

// Even buckets over the keys at hand.
class Bucketing {
 public:
  explicit Bucketing(const float* keys, size_t count)
      : range_(std::clamp(*std::max_element(keys, keys + count), 1e-6f, kMaxKey)),
        scale_((kBuckets - 1) / range_) {}
  int operator()(float key) const { return static_cast<int>(std::min(key, range_) * scale_); }

 private:
  float range_;
  float scale_;
};

struct Cut {
  float key;
  size_t index;
};

// The last candidate, in ascending order of (key, index), of the fewest whose mass reaches
// `target`. A histogram over keys finds the bucket that crosses; only that bucket is sorted.
Cut find_cut(const Candidates& c, const float* keys, double target) {
  const Bucketing bucket_of(keys, c.count);
  std::array<double, kBuckets> bucket_mass{};
  for (size_t i = 0; i < c.count; ++i) bucket_mass[bucket_of(keys[i])] += c.mass[i];
  double before = 0;  // mass of the buckets before `crossing`
  double reached = 0;
  int crossing = 0;  // the last with mass, where rounding keeps us short of the target
  for (int b = 0; b < kBuckets; ++b) {
    if (bucket_mass[b] == 0) continue;
    crossing = b;
    before = reached;
    reached += bucket_mass[b];
    if (reached >= target) break;
  }
  std::vector<std::pair<float, size_t>> undecided;
  for (size_t i = 0; i < c.count; ++i) {
    if (c.mass[i] > 0 && bucket_of(keys[i]) == crossing) undecided.emplace_back(keys[i], i);
  }
  // Equal logits in great number come sorted already.
  if (!std::is_sorted(undecided.begin(), undecided.end())) {
    std::sort(undecided.begin(), undecided.end());
  }
  reached = before;
  for (const auto& [key, index] : undecided) {
    reached += c.mass[index];
    if (reached >= target) return {key, index};
  }
  return {undecided.back().first, undecided.back().second};
}

// Keys, in work.scratch, must be at least 0 and not NaN.
void keep_mass(SamplerWorkspace& work, double target) {
  const float* keys = work.scratch.data();
  const Cut cut = find_cut(work.candidates, keys, target);
  compact(work, [&](size_t i) {
    return (keys[i] < cut.key) | ((keys[i] == cut.key) & (i <= cut.index));
  });
  update_total(work.candidates);
}

double entropy(const Candidates& c) {
  const double log_total = std::log(c.total);
  double weighted = 0;  // sum of mass * score
  for (size_t i = 0; i < c.count; ++i) {
    if (c.mass[i] > 0) weighted += static_cast<double>(c.mass[i]) * c.scores[i];
  }
  return log_total - weighted / c.total;
}

}  // namespace

bool few_allowed(const uint32_t* allowed, int32_t num_vocab) {
  return fewer_bits_than(allowed, num_vocab, num_vocab / kFew);
}

void start_candidates(const float* logits, int32_t num_vocab, float max_logit, float temperature,
                      int32_t top_k, SamplerWorkspace& work, const uint32_t* allowed) {
  Candidates& c = work.candidates;
  const float* source = logits;
  const bool all = top_k <= 0 || top_k >= num_vocab;
  if (!all) {
    select_top(logits, num_vocab, top_k, work.block_max, work.best);
    std::sort(work.best.begin(), work.best.end(),
              [](const ScoredToken& a, const ScoredToken& b) { return a.token < b.token; });
    c.count = work.best.size();
    for (size_t i = 0; i < c.count; ++i) {
      c.ids[i] = work.best[i].token;
      c.scores[i] = work.best[i].score;
    }
    source = c.scores.data();
  } else if (allowed != nullptr && few_allowed(allowed, num_vocab)) {
    c.count = 0;
    for_each_bit(allowed, num_vocab, [&](int32_t token) {
      c.ids[c.count] = token;
      c.scores[c.count++] = logits[token];
      return true;
    });
    source = c.scores.data();
  } else {
    c.count = static_cast<size_t>(num_vocab);
    std::iota(c.ids.begin(), c.ids.begin() + num_vocab, 0);
  }
  exponentiate(source, static_cast<int64_t>(c.count), max_logit, 1.0f / temperature,
               c.scores.data(), c.mass.data());
  update_total(c);  // to the last bit what the draw will add up
}

void keep_typical(float typical_p, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  const double expected = entropy(c);
  const double log_total = std::log(c.total);
  for (size_t i = 0; i < c.count; ++i) {
    const double information = log_total - c.scores[i];
    work.scratch[i] = static_cast<float>(std::fabs(information - expected));
  }
  keep_mass(work, typical_p * c.total);
}

void keep_top_p(float top_p, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  const double target = top_p * c.total;
  // Tokens below this have, all together, less than the mass that is left out, and are the least
  // likely: none of them can be in the nucleus. Of a real vocabulary hundreds remain.
  const auto negligible = static_cast<float>((c.total - target) / static_cast<double>(c.count));
  compact(work, [&](size_t i) { return c.mass[i] >= negligible; });
  for (size_t i = 0; i < c.count; ++i) work.scratch[i] = -c.scores[i];
  keep_mass(work, target);
}

void keep_min_p(float min_p, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  const float threshold = min_p * *std::max_element(c.mass.data(), c.mass.data() + c.count);
  compact(work, [&](size_t i) { return c.mass[i] >= threshold; });
  update_total(c);
}

void drop_top_choices(float threshold, SamplerWorkspace& work) {
  Candidates& c = work.candidates;
  const auto least_mass = static_cast<float>(threshold * c.total);
  size_t num_top = 0, last = 0;  // `last` of them in the order of likelihood; ties: the higher id
  for (size_t i = 0; i < c.count; ++i) {
    if (c.mass[i] == 0 || c.mass[i] < least_mass) continue;
    if (num_top == 0 || c.mass[i] <= c.mass[last]) last = i;
    ++num_top;
  }
  if (num_top < 2) return;
  const float* mass = c.mass.data();
  compact(work, [&](size_t i) { return (mass[i] < least_mass) | (i == last); });
  update_total(c);
}

}  // namespace pyslm
