// How prompts share the rows of a step.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace pyslm {

// Max-min fair: no claim gets more than it owes; none gets less than an equal share (rounded down)
// unless it owes less; what the small ones leave goes to the rest. Claims are oldest first, and
// rows that do not divide evenly go to the oldest that still owe. Returns rows per claim, summing
// to min(budget, sum(owed)).
inline std::vector<int32_t> fair_shares(const std::vector<int32_t>& owed, int32_t budget) {
  std::vector<size_t> smallest_first(owed.size());
  std::iota(smallest_first.begin(), smallest_first.end(), size_t{0});
  std::stable_sort(smallest_first.begin(), smallest_first.end(),
                   [&](size_t a, size_t b) { return owed[a] < owed[b]; });
  std::vector<int32_t> shares(owed.size(), 0);
  // The level at which the budget fills all claims: every claim above it gets the level.
  int32_t left = budget;
  int32_t level = 0;
  for (size_t i = 0; i < owed.size(); ++i) {
    level = left / static_cast<int32_t>(owed.size() - i);
    if (owed[smallest_first[i]] > level) break;
    left -= owed[smallest_first[i]];
    level = owed[smallest_first[i]];
  }
  left = budget;
  for (size_t i = 0; i < owed.size(); ++i) left -= shares[i] = std::min(owed[i], level);
  for (size_t i = 0; i < owed.size() && left > 0; ++i) {
    if (shares[i] == owed[i]) continue;
    ++shares[i];
    --left;
  }
  return shares;
}

}  // namespace pyslm
