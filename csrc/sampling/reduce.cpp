#include "sampling/reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "isa/select.h"

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

}  // namespace

LogitScan scan_logits(const float* logits, int64_t n, std::vector<float>& block_max) {
  block_max.resize(static_cast<size_t>((n + kLogitBlock - 1) / kLogitBlock));
  int32_t unusable = 0;
  select_kernels().scan_logits(logits, n, block_max.data(), &unusable);
  return {*std::max_element(block_max.begin(), block_max.end()), unusable != 0};
}

int64_t find_first(const float* x, int64_t n, float value, const std::vector<float>& block_max) {
  const auto block = std::find(block_max.begin(), block_max.end(), value) - block_max.begin();
  const int64_t begin = std::min(n, block * kLogitBlock);
  return std::find(x + begin, x + n, value) - x;
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
Spread spread_of(const float* x, int64_t n, float max) {
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
  return select_kernels().exponentiate(x, n, max, scale, z, mass, nullptr);
}

}  // namespace pyslm
