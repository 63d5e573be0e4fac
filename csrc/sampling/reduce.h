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

// z[i] = (x[i] - max) * scale. In place allowed.
void shift_and_scale(const float* x, int64_t n, float max, float scale, float* z);

// out[i] = exp(z[i]) for z <= 0, within 2 ulp; exactly 0 below -87.
void exp_nonpositive(const float* z, int64_t n, float* out);

constexpr int64_t kSumBlock = 2048;  // sum() adds the sums of blocks of this size, in order

double sum_block(const float* x, int64_t n);
double sum(const float* x, int64_t n);

// log(sum(exp(x))). `scratch` holds n floats.
double log_sum_exp(const float* x, int64_t n, float max, float* scratch);

}  // namespace pyslm
