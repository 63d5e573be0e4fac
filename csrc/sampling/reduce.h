// Passes over a whole vocabulary of logits, by the kernels of the tier at hand where they are many.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/table.h"

namespace pyslm {

struct LogitScan {
  float max;      // over everything that is not NaN; -inf where nothing is larger
  bool unusable;  // a NaN or +inf was seen
};

// block_max [ceil(n / kLogitBlock)] receives the largest of each block.
LogitScan scan_logits(const float* logits, int64_t n, std::vector<float>& block_max);

// Index of the first element equal to `value`, given the blocks' maxima; n if none is.
int64_t find_first(const float* x, int64_t n, float value, const std::vector<float>& block_max);

constexpr int64_t kSumBlock = 2048;  // sum() adds the sums of blocks of this size, in order

double sum_block(const float* x, int64_t n);
double sum(const float* x, int64_t n);

struct Spread {
  double mean, deviation;  // of the population
};

// Of the elements above -inf; there must be one. max: the largest.
Spread spread_of(const float* x, int64_t n, float max);

// x[i] = -inf where x[i] < threshold.
void drop_below(float* x, int64_t n, float threshold);

// z[i] = (x[i] - max) * scale; mass[i] = exp(z[i]), exactly 0 for z[i] < -87.3. `max` is the
// largest of x, so that no z is above 0. Returns sum(mass). z may be x, or null.
double exponentiate(const float* x, int64_t n, float max, float scale, float* z, float* mass);

}  // namespace pyslm
