// The search for the scale of x ~ d * q with lo <= q <= hi. Candidates map the largest magnitude to
// numbers around lo and around hi; each fixes the q, for which the best d is a weighted least
// squares fit; the winner is refined until rounding with its d reproduces its q.
#pragma once

#include "quant/sample.h"

namespace pyslm::quant {

struct SymmetricFit {
  float d = 0.0f;
  float gain = 0.0f;  // decrease of the squared error against d = 0
};

// The least squares d for q = nearest(x * inverse).
template <int kElems>
static inline SymmetricFit fit_scale(const Sample<kElems>& sample, float inverse, int lo, int hi) {
  F32x4 sum_qx{}, sum_qq{};
  const F32x4 low = splat(static_cast<float>(lo)), high = splat(static_cast<float>(hi));
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 q = nearest(sample.x[i] * inverse, low, high);
    const F32x4 wq = sample.w[i] * q;
    sum_qx += wq * sample.x[i];
    sum_qq += wq * q;
  }
  const float qx = sum_lanes(sum_qx), qq = sum_lanes(sum_qq);
  if (!(qq > 0)) return {};
  const float d = qx / qq;
  return {d, d * qx};
}

// Weighted squared error with the best q for d.
template <int kElems>
static inline float symmetric_error(const Sample<kElems>& sample, float d, int lo, int hi) {
  F32x4 error{};
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  const F32x4 low = splat(static_cast<float>(lo)), high = splat(static_cast<float>(hi));
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 rest = sample.x[i] - d * nearest(sample.x[i] * inverse, low, high);
    error += sample.w[i] * rest * rest;
  }
  return sum_lanes(error);
}

template <int kElems>
static inline void symmetric_codes(const Sample<kElems>& sample, float d, int lo, int hi,
                                   int8_t* q) {
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  const F32x4 low = splat(static_cast<float>(lo)), high = splat(static_cast<float>(hi));
  for (int i = 0; i < kElems / 4; ++i) {
    const F32x4 code = nearest(sample.x[i] * inverse, low, high);
    for (int lane = 0; lane < 4; ++lane) q[4 * i + lane] = static_cast<int8_t>(code[lane]);
  }
}

// The element of the largest magnitude, with its sign.
template <int kElems>
static inline float extreme_of(const Sample<kElems>& sample) {
  float extreme = 0.0f;
  for (int i = 0; i < kElems / 4; ++i)
    for (int lane = 0; lane < 4; ++lane)
      if (magnitude(sample.x[i][lane]) > magnitude(extreme)) extreme = sample.x[i][lane];
  return extreme;
}

template <int kElems>
static inline float search_scale(const Sample<kElems>& sample, int lo, int hi) {
  constexpr int kSteps = 9;         // to either side
  constexpr float kDelta = 0.125f;  // in units of q
  const float extreme = extreme_of(sample);
  if (extreme == 0) return 0.0f;
  SymmetricFit best;
  const auto consider = [&](float inverse) {
    const SymmetricFit fit = fit_scale(sample, inverse, lo, hi);
    const bool better = fit.gain > best.gain;
    if (better) best = fit;
    return better;
  };
  for (int step = -kSteps; step <= kSteps; ++step) {
    const float shift = kDelta * static_cast<float>(step);
    consider((static_cast<float>(lo) + shift) / extreme);
    consider((static_cast<float>(hi) + shift) / extreme);
  }
  for (int i = 0; i < 4 && best.d != 0 && consider(1.0f / best.d); ++i) {
  }
  return best.d;
}

// A whole block with one half scale: the better of the search and of the plain rule d = extreme /
// lo, both after rounding to half. Returns the half and fills q.
template <int kElems>
static inline uint16_t quantize_symmetric(const float* x, const float* importance, int lo, int hi,
                                          int8_t* q) {
  const Range range = range_of(x, kElems);
  if (range.zero) {
    for (int i = 0; i < kElems; ++i) q[i] = 0;
    return 0;
  }
  const auto sample = load_sample<kElems>(x, importance, range);
  const HalfScale found = half_scale(search_scale(sample, lo, hi), range);
  const HalfScale plain = covering_scale(extreme_of(sample), lo, range);
  const bool use_plain =
      symmetric_error(sample, plain.value, lo, hi) < symmetric_error(sample, found.value, lo, hi);
  const HalfScale& d = use_plain ? plain : found;
  symmetric_codes(sample, d.value, lo, hi, q);
  return d.bits;
}

// A super-block: x ~ d * scale_j * q over 16 sub-blocks of 16.
struct SymmetricSuper {
  uint16_t d = 0;  // half
  int8_t scale[16] = {};
  int8_t q[256] = {};
};

// Given d, the best integer scale near the current one for each sub-block; returns the error.
static inline float choose_scales(const Sample<16> sub[16], float d, int lo, int hi, int scale_lo,
                                  int scale_hi, int8_t scale[16]) {
  float total = 0.0f;
  for (int j = 0; j < 16; ++j) {
    const int middle = scale[j];
    float least = symmetric_error(sub[j], d * static_cast<float>(middle), lo, hi);
    for (int s = middle - 1; s <= middle + 1; s += 2) {
      if (s < scale_lo || s > scale_hi) continue;
      const float error = symmetric_error(sub[j], d * static_cast<float>(s), lo, hi);
      if (error < least) least = error, scale[j] = static_cast<int8_t>(s);
    }
    total += least;
  }
  return total;
}

// The least squares d for the current scales and their q; 0 where there is none.
static inline float refit_scale(const Sample<16> sub[16], float d, int lo, int hi,
                                const int8_t scale[16]) {
  const F32x4 low = splat(static_cast<float>(lo)), high = splat(static_cast<float>(hi));
  F32x4 sum_ax{}, sum_aa{};
  for (int j = 0; j < 16; ++j) {
    const float s = static_cast<float>(scale[j]);
    const float inverse = d * s != 0 ? 1.0f / (d * s) : 0.0f;
    for (int i = 0; i < 4; ++i) {
      const F32x4 a = s * nearest(sub[j].x[i] * inverse, low, high);
      sum_ax += sub[j].w[i] * a * sub[j].x[i];
      sum_aa += sub[j].w[i] * a * a;
    }
  }
  const float aa = sum_lanes(sum_aa);
  return aa > 0 ? sum_lanes(sum_ax) / aa : 0.0f;
}

static inline SymmetricSuper quantize_symmetric_super(const float* x, const float* importance,
                                                      int lo, int hi, int scale_lo, int scale_hi) {
  SymmetricSuper best;
  const Range range = range_of(x, 256);
  if (range.zero) return best;
  Sample<16> sub[16];
  float wanted[16], extreme = 0.0f;
  for (int j = 0; j < 16; ++j) {
    sub[j] = load_sample<16>(x + 16 * j, importance ? importance + 16 * j : nullptr, range);
    wanted[j] = search_scale(sub[j], lo, hi);
    if (magnitude(wanted[j]) > magnitude(extreme)) extreme = wanted[j];
  }
  HalfScale d = covering_scale(extreme, scale_lo, range);
  int8_t scale[16];
  for (int j = 0; j < 16; ++j)
    scale[j] = d.value == 0
                   ? 0
                   : static_cast<int8_t>(nearest(wanted[j] / d.value, static_cast<float>(scale_lo),
                                                 static_cast<float>(scale_hi)));
  float least = choose_scales(sub, d.value, lo, hi, scale_lo, scale_hi, scale);
  HalfScale best_d = d;
  for (int j = 0; j < 16; ++j) best.scale[j] = scale[j];
  for (int pass = 0; pass < 3; ++pass) {
    d = half_scale(refit_scale(sub, best_d.value, lo, hi, scale), range);
    const float error = choose_scales(sub, d.value, lo, hi, scale_lo, scale_hi, scale);
    if (!(error < least)) break;
    least = error;
    best_d = d;
    for (int j = 0; j < 16; ++j) best.scale[j] = scale[j];
  }
  best.d = best_d.bits;
  for (int j = 0; j < 16; ++j)
    symmetric_codes(sub[j], best_d.value * static_cast<float>(best.scale[j]), lo, hi,
                    best.q + 16 * j);
  return best;
}

}  // namespace pyslm::quant
