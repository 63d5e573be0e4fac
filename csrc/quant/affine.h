// The search for scale and offset of x ~ s * q + o with 0 <= q <= levels. Candidates stretch the
// range of x over levels - 1 .. levels + 1 steps; each fixes the q, for which the best (s, o) is a
// weighted least squares fit; the winner is refined until rounding with it reproduces its q.
#pragma once

#include "quant/sample.h"

namespace pyslm::quant {

struct AffineFit {
  float s = 0.0f, o = 0.0f;
  float error = 3.0e38f;
};

// Weighted sums over a sample: of 1, x, x*x, q, q*q, q*x.
struct AffineSums {
  float w = 0, x = 0, xx = 0, q = 0, qq = 0, qx = 0;
};

template <int kElems>
static inline void add_data_sums(const Sample<kElems>& sample, AffineSums* sums) {
  F32x4 sum_w{}, sum_x{}, sum_xx{};
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 wx = sample.w[i] * sample.x[i];
    sum_w += sample.w[i];
    sum_x += wx;
    sum_xx += wx * sample.x[i];
  }
  sums->w = sum_lanes(sum_w), sums->x = sum_lanes(sum_x), sums->xx = sum_lanes(sum_xx);
}

// q = nearest((x - origin) * inverse).
template <int kElems>
static inline void add_code_sums(const Sample<kElems>& sample, float inverse, float origin,
                                 int levels, AffineSums* sums) {
  F32x4 sum_q{}, sum_qq{}, sum_qx{};
  const F32x4 low{}, high = splat(static_cast<float>(levels));
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 q = nearest((sample.x[i] - origin) * inverse, low, high);
    const F32x4 wq = sample.w[i] * q;
    sum_q += wq;
    sum_qq += wq * q;
    sum_qx += wq * sample.x[i];
  }
  sums->q = sum_lanes(sum_q), sums->qq = sum_lanes(sum_qq), sums->qx = sum_lanes(sum_qx);
}

// The best scale and offset for fixed q; the offset never above `max_offset`.
static inline AffineFit solve(const AffineSums& sums, float max_offset) {
  AffineFit fit;
  const float det = sums.w * sums.qq - sums.q * sums.q;
  if (det > 0) {
    fit.s = (sums.w * sums.qx - sums.x * sums.q) / det;
    fit.o = (sums.qq * sums.x - sums.q * sums.qx) / det;
  } else {  // one single q
    fit.o = sums.w > 0 ? sums.x / sums.w : 0.0f;
  }
  if (fit.o > max_offset) {
    fit.o = max_offset;
    fit.s = sums.qq > 0 ? (sums.qx - fit.o * sums.q) / sums.qq : 0.0f;
  }
  const float s = fit.s, o = fit.o;
  fit.error = (sums.xx - 2 * s * sums.qx + s * s * sums.qq) +
              o * (2 * s * sums.q - 2 * sums.x + o * sums.w);
  return fit;
}

// Weighted squared error with the best q for (s, o).
template <int kElems>
static inline float affine_error(const Sample<kElems>& sample, float s, float o, int levels) {
  F32x4 error{};
  const float inverse = s != 0 ? 1.0f / s : 0.0f;
  const F32x4 low{}, high = splat(static_cast<float>(levels));
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 shifted = sample.x[i] - o;
    const F32x4 rest = shifted - s * nearest(shifted * inverse, low, high);
    error += sample.w[i] * rest * rest;
  }
  return sum_lanes(error);
}

template <int kElems>
static inline void affine_codes(const Sample<kElems>& sample, float s, float o, int levels,
                                uint8_t* q) {
  const float inverse = s != 0 ? 1.0f / s : 0.0f;
  const F32x4 low{}, high = splat(static_cast<float>(levels));
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 code = nearest((sample.x[i] - o) * inverse, low, high);
    for (int lane = 0; lane < 4; ++lane) q[4 * i + lane] = static_cast<uint8_t>(code[lane]);
  }
}

struct Extent {
  float min, max;
};

template <int kElems>
static inline Extent extent_of(const Sample<kElems>& sample) {
  F32x4 min = sample.x[0], max = sample.x[0];
  for (int i = 1; i < kElems / 4; ++i) {
    min = sample.x[i] < min ? sample.x[i] : min;
    max = sample.x[i] > max ? sample.x[i] : max;
  }
  Extent extent{min[0], max[0]};
  for (int lane = 1; lane < 4; ++lane) {
    extent.min = min[lane] < extent.min ? min[lane] : extent.min;
    extent.max = max[lane] > extent.max ? max[lane] : extent.max;
  }
  return extent;
}

template <int kElems>
static inline AffineFit search_affine(const Sample<kElems>& sample, int levels, float max_offset) {
  constexpr int kSteps = 10;      // to either side
  constexpr float kDelta = 0.1f;  // in units of q
  Extent extent = extent_of(sample);
  if (extent.min > max_offset) extent.min = max_offset;
  const float span = extent.max - extent.min;
  if (!(span > 0)) return {0.0f, extent.min, 0.0f};
  AffineSums sums;
  add_data_sums(sample, &sums);
  AffineFit best;
  const auto consider = [&](float inverse, float origin) {
    add_code_sums(sample, inverse, origin, levels, &sums);
    const AffineFit fit = solve(sums, max_offset);
    const bool better = fit.error < best.error && fit.s > 0;
    if (better) best = fit;
    return better;
  };
  for (int step = -kSteps; step <= kSteps; ++step)
    consider((static_cast<float>(levels) + kDelta * static_cast<float>(step)) / span, extent.min);
  for (int i = 0; i < 6 && best.s > 0 && consider(1.0f / best.s, best.o); ++i) {
  }
  return best;
}

// A whole block with a half scale and a half offset: the better of the search and of the plain rule
// (min to max in `levels` steps), both after rounding to half. Fills q.
struct AffineHalfs {
  uint16_t d, m;
};

template <int kElems>
static inline AffineHalfs quantize_affine(const float* x, const float* importance, int levels,
                                          uint8_t* q) {
  const Range range = range_of(x, kElems);
  if (range.zero) {
    for (int i = 0; i < kElems; ++i) q[i] = 0;
    return {0, 0};
  }
  auto sample = load_sample<kElems>(x, importance, range);
  const Extent extent = extent_of(sample);
  const AffineFit plain{(extent.max - extent.min) / static_cast<float>(levels), extent.min};
  for (auto& x4 : sample.x) x4 -= extent.min;  // else a large offset would eat the precision
  AffineFit found = search_affine(sample, levels, 3.0e38f);
  for (auto& x4 : sample.x) x4 += extent.min;
  found.o += extent.min;

  HalfScale d{}, m{};
  float least = 3.0e38f;
  const auto consider = [&](const HalfScale& new_d, const HalfScale& new_m) {
    const float error = affine_error(sample, new_d.value, new_m.value, levels);
    if (error < least) least = error, d = new_d, m = new_m;
  };
  for (const AffineFit& fit : {plain, found}) {
    const HalfScale half_d = half_scale(fit.s, range), half_m = half_scale(fit.o, range);
    consider(half_d, half_m);
    // The offset has moved by rounding: the scale that suits it best.
    AffineSums sums;
    add_code_sums(sample, half_d.value > 0 ? 1.0f / half_d.value : 0.0f, half_m.value, levels,
                  &sums);
    if (sums.qq > 0)
      consider(half_scale((sums.qx - half_m.value * sums.q) / sums.qq, range), half_m);
  }
  affine_codes(sample, d.value, m.value, levels, q);
  return {d.bits, m.bits};
}

}  // namespace pyslm::quant
