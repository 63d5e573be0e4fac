// The k largest of n values without sorting them all: one pass with a rising threshold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/table.h"

namespace pyslm {

struct ScoredToken {
  float score;
  int32_t token;
};

// Higher score first; equal scores: lower token first. The order behind every choice here.
inline bool ranks_before(const ScoredToken& a, const ScoredToken& b) {
  return a.score != b.score ? a.score > b.score : a.token < b.token;
}

// Fills `best` with the k that rank first, in no particular order; fewer where less than k are
// above -inf. Tokens come in ascending order, so one that only equals the threshold ranks after
// all k before it. block_max: the largest of each block of kLogitBlock; most blocks have nothing to
// offer.
inline void select_top(const float* scores, int32_t n, int32_t k,
                       const std::vector<float>& block_max, std::vector<ScoredToken>& best) {
  const size_t keep = static_cast<size_t>(k);
  const size_t capacity = std::max<size_t>(2 * keep, 512);
  float threshold = -std::numeric_limits<float>::infinity();
  best.clear();
  const auto shrink = [&] {
    if (best.size() <= keep) return;
    std::nth_element(best.begin(), best.begin() + (k - 1), best.end(), ranks_before);
    best.resize(keep);
    threshold = best.back().score;
  };
  for (size_t block = 0; block < block_max.size(); ++block) {
    if (!(block_max[block] > threshold)) continue;
    const auto begin = static_cast<int32_t>(static_cast<int64_t>(block) * kLogitBlock);
    const int32_t end = std::min(n, begin + static_cast<int32_t>(kLogitBlock));
    for (int32_t token = begin; token < end; ++token) {
      if (!(scores[token] > threshold)) continue;
      best.push_back({scores[token], token});
      if (best.size() >= capacity) shrink();
    }
  }
  shrink();
}

}  // namespace pyslm
