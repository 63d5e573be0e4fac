#include "sampling/reduce.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace pyslm {
namespace {

// GCC and Clang lower these to whatever vectors the baseline target has (SSE2, NEON). Written out
// since -O2 does not vectorise reductions, and float maxima only under -ffast-math.
constexpr int kLanes = 4;
typedef float F32x4 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));
typedef double F64x4 __attribute__((vector_size(32)));

constexpr float kInf = std::numeric_limits<float>::infinity();

F32x4 load(const float* x) {
  F32x4 v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

void store(float* x, F32x4 v) { std::memcpy(x, &v, sizeof v); }

// e^z by 2^n * p(r), r = z - n ln 2 in [-ln2/2, ln2/2]; Taylor coefficients to r^6 leave an error
// of 1.2e-7 relative, about one ulp.
[[gnu::always_inline]] inline F32x4 exp_lanes(F32x4 z_f32x4) {
  constexpr float kLowest = -87.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves round(x) in the low bits
  const I32x4 in_range = z_f32x4 >= kLowest;
  const F32x4 lowest = {kLowest, kLowest, kLowest, kLowest};
  const F32x4 z = in_range ? z_f32x4 : lowest;
  const F32x4 shifted = z * 1.44269504f + kRound;
  const F32x4 n = shifted - kRound;
  const F32x4 r = (z - n * 0.693359375f) - n * -2.12194440e-4f;
  F32x4 p = r * (1.0f / 720) + (1.0f / 120);
  p = p * r + (1.0f / 24);
  p = p * r + (1.0f / 6);
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  I32x4 exponent_i32x4;
  std::memcpy(&exponent_i32x4, &shifted, sizeof shifted);
  exponent_i32x4 = (exponent_i32x4 - std::bit_cast<int32_t>(kRound) + 127) << 23;
  F32x4 power_f32x4;
  std::memcpy(&power_f32x4, &exponent_i32x4, sizeof exponent_i32x4);
  const F32x4 zero = {0, 0, 0, 0};
  return in_range ? p * power_f32x4 : zero;
}

}  // namespace

LogitScan scan_logits(const float* logits, int64_t n) {
  constexpr int kChains = 4;  // a maximum takes four cycles; four chains keep the unit busy
  F32x4 max_f32x4[kChains];
  I32x4 bad_i32x4[kChains];
  for (int c = 0; c < kChains; ++c) {
    max_f32x4[c] = F32x4{-kInf, -kInf, -kInf, -kInf};
    bad_i32x4[c] = I32x4{0, 0, 0, 0};
  }
  int64_t i = 0;
  for (; i + kChains * kLanes <= n; i += kChains * kLanes) {
    for (int c = 0; c < kChains; ++c) {
      const F32x4 x = load(logits + i + c * kLanes);
      max_f32x4[c] = x > max_f32x4[c] ? x : max_f32x4[c];
      bad_i32x4[c] |= ~(x < kInf);  // NaN compares false
    }
  }
  LogitScan scan{-kInf, false};
  for (int c = 0; c < kChains; ++c) {
    for (int lane = 0; lane < kLanes; ++lane) {
      scan.max = std::max(scan.max, max_f32x4[c][lane]);
      scan.unusable |= bad_i32x4[c][lane] != 0;
    }
  }
  for (; i < n; ++i) {
    scan.max = logits[i] > scan.max ? logits[i] : scan.max;
    scan.unusable |= !(logits[i] < kInf);
  }
  return scan;
}

int64_t find_first(const float* x, int64_t n, float value) {
  return std::find(x, x + n, value) - x;
}

double sum_block(const float* x, int64_t n) {
  F64x4 acc_f64x4[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    acc_f64x4[0] += __builtin_convertvector(load(x + i), F64x4);
    acc_f64x4[1] += __builtin_convertvector(load(x + i + kLanes), F64x4);
  }
  const F64x4 acc = acc_f64x4[0] + acc_f64x4[1];
  double total = (acc[0] + acc[1]) + (acc[2] + acc[3]);
  for (; i < n; ++i) total += x[i];
  return total;
}

double sum(const float* x, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kSumBlock) total += sum_block(x + i, std::min(kSumBlock, n - i));
  return total;
}

// Both moments in one pass, about the largest element, near which nothing cancels that matters.
Spread spread_of(const float* x, int64_t n) {
  const float max = scan_logits(x, n).max;
  F64x4 sum_f64x4 = {}, squares_f64x4 = {};
  I32x4 count_i32x4 = {};
  const auto add = [&](F32x4 x_f32x4) {
    const I32x4 finite = x_f32x4 > -kInf;
    const F32x4 below = finite ? x_f32x4 - max : F32x4{0, 0, 0, 0};
    const F64x4 wide = __builtin_convertvector(below, F64x4);
    sum_f64x4 += wide;
    squares_f64x4 += wide * wide;
    count_i32x4 -= finite;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) add(load(x + i));
  for (; i < n; ++i) add(F32x4{x[i], -kInf, -kInf, -kInf});
  double sum = 0, squares = 0, count = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    sum += sum_f64x4[lane];
    squares += squares_f64x4[lane];
    count += count_i32x4[lane];
  }
  const double mean = sum / count;
  return {max + mean, std::sqrt(std::max(0.0, squares / count - mean * mean))};
}

void drop_below(float* x, int64_t n, float threshold) {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] < threshold ? -kInf : x[i];
}

double exponentiate(const float* x, int64_t n, float max, float scale, float* z, float* mass) {
  double total = 0;
  // A block at a time, so that it is still in the first-level cache when it is summed.
  for (int64_t begin = 0; begin < n; begin += kSumBlock) {
    const int64_t end = std::min(n, begin + kSumBlock);
    int64_t i = begin;
    for (; i + kLanes <= end; i += kLanes) {
      const F32x4 z_f32x4 = (load(x + i) - max) * scale;
      store(z + i, z_f32x4);
      store(mass + i, exp_lanes(z_f32x4));
    }
    for (; i < end; ++i) {
      z[i] = (x[i] - max) * scale;
      mass[i] = exp_lanes(F32x4{z[i], 0, 0, 0})[0];
    }
    total += sum_block(mass + begin, end - begin);
  }
  return total;
}

}  // namespace pyslm
