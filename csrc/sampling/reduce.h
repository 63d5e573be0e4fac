// Passes over a whole vocabulary of logits. Bound: a few instructions per four floats, so that
// 150k logits take tens of microseconds on any tier; sums have one fixed order.
#pragma once

#include <cstdint>

namespace pyslm {

struct LogitScan {
  float max;      // over everything that is not NaN; -inf where nothing is larger
  bool unusable;  // a NaN or +inf was seen
};

LogitScan scan_logits(const float* logits, int64_t n);

// Index of the first element equal to `value`; n if none is.
int64_t find_first(const float* x, int64_t n, float value);

constexpr int64_t kSumBlock = 2048;  // sum() adds the sums of blocks of this size, in order

double sum_block(const float* x, int64_t n);
double sum(const float* x, int64_t n);

struct Spread {
  double mean, deviation;  // of the population
};

// Of the elements above -inf; there must be one.
Spread spread_of(const float* x, int64_t n);

// x[i] = -inf where x[i] < threshold.
void drop_below(float* x, int64_t n, float threshold);

// z[i] = (x[i] - max) * scale; mass[i] = exp(z[i]), within 2 ulp and exactly 0 for z[i] < -87.
// `max` is the largest of x, so that no z is above 0. Returns sum(mass). z may be x.
double exponentiate(const float* x, int64_t n, float max, float scale, float* z, float* mass);

}  // namespace pyslm
