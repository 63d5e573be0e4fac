// A super-block of a K-quant with minima: x ~ d * scale_j * q - dmin * min_j over sub-blocks of
// kSub. First each sub-block alone (affine.h); then the integer scales and minima around those, by
// the error they really give; then d and dmin once more by least squares, as long as that helps.
#pragma once

#include "quant/affine.h"

namespace pyslm::quant {

template <int kSub>
struct AffineSuper {
  static constexpr int kSubBlocks = 256 / kSub;
  uint16_t d = 0, dmin = 0;  // halfs
  uint8_t scale[kSubBlocks] = {}, min[kSubBlocks] = {};
  uint8_t q[256] = {};
};

struct SuperScales {
  HalfScale d, dmin;
};

// The best (scale, min) among the neighbours of the current ones; returns the error.
template <int kSub>
static inline float choose_scale_min(const Sample<kSub>& sub, const SuperScales& super, int levels,
                                     int limit, uint8_t* scale, uint8_t* min) {
  const int s0 = *scale, m0 = *min;
  float least = 3.0e38f;
  for (int s = s0 - 1; s <= s0 + 1; ++s) {
    for (int m = m0 - 1; m <= m0 + 1; ++m) {
      if (s < 0 || s > limit || m < 0 || m > limit) continue;
      const float error = affine_error(sub, super.d.value * static_cast<float>(s),
                                       -super.dmin.value * static_cast<float>(m), levels);
      if (!(error < least)) continue;
      least = error;
      *scale = static_cast<uint8_t>(s), *min = static_cast<uint8_t>(m);
    }
  }
  return least;
}

// Least squares for d and dmin with everything else fixed: minimises
// sum of w * (x - d * a + dmin * b)^2 with a = scale_j * q, b = min_j.
template <int kSub>
static inline SuperScales refit_super(const Sample<kSub>* sub, const SuperScales& super, int levels,
                                      const AffineSuper<kSub>& codes, const Range& range) {
  float aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
  for (int j = 0; j < 256 / kSub; ++j) {
    const float s = static_cast<float>(codes.scale[j]), m = static_cast<float>(codes.min[j]);
    const float step = super.d.value * s;
    AffineSums sums;
    add_data_sums(sub[j], &sums);
    add_code_sums(sub[j], step > 0 ? 1.0f / step : 0.0f, -super.dmin.value * m, levels, &sums);
    aa += s * s * sums.qq, ab += s * m * sums.q, bb += m * m * sums.w;
    ax += s * sums.qx, bx += m * sums.x;
  }
  const float det = aa * bb - ab * ab;
  float d = aa > 0 ? ax / aa : 0.0f, dmin = 0.0f;
  if (det > 1e-6f * aa * bb) d = (ax * bb - bx * ab) / det, dmin = (ax * ab - bx * aa) / det;
  return {half_scale(d > 0 ? d : 0.0f, range), half_scale(dmin > 0 ? dmin : 0.0f, range)};
}

static inline uint8_t steps_of(float value, float unit, int limit) {
  return unit > 0 ? static_cast<uint8_t>(nearest(value / unit, 0.0f, static_cast<float>(limit)))
                  : uint8_t{0};
}

// levels: largest q; limit: largest scale and min.
template <int kSub>
static inline AffineSuper<kSub> quantize_affine_super(const float* x, const float* importance,
                                                      int levels, int limit) {
  constexpr int kSubBlocks = 256 / kSub;
  AffineSuper<kSub> best;
  const Range range = range_of(x, 256);
  if (range.zero) return best;
  Sample<kSub> sub[kSubBlocks];
  AffineFit fit[kSubBlocks];
  float max_scale = 0.0f, max_min = 0.0f;
  for (int j = 0; j < kSubBlocks; ++j) {
    const float* weights = importance ? importance + kSub * j : nullptr;
    sub[j] = load_sample<kSub>(x + kSub * j, weights, range);
    fit[j] = search_affine(sub[j], levels, 0.0f);
    max_scale = fit[j].s > max_scale ? fit[j].s : max_scale;
    max_min = -fit[j].o > max_min ? -fit[j].o : max_min;
  }
  SuperScales super{covering_scale(max_scale, limit, range), covering_scale(max_min, limit, range)};
  AffineSuper<kSub> codes;
  for (int j = 0; j < kSubBlocks; ++j) {
    codes.scale[j] = steps_of(fit[j].s, super.d.value, limit);
    codes.min[j] = steps_of(-fit[j].o, super.dmin.value, limit);
  }
  float least = 3.0e38f;
  SuperScales best_super;
  for (int pass = 0; pass < 4; ++pass) {
    float error = 0.0f;
    for (int j = 0; j < kSubBlocks; ++j)
      error += choose_scale_min(sub[j], super, levels, limit, &codes.scale[j], &codes.min[j]);
    if (!(error < least)) break;
    least = error, best = codes, best_super = super;
    super = refit_super(sub, super, levels, codes, range);
  }
  best.d = best_super.d.bits, best.dmin = best_super.dmin.bits;
  for (int j = 0; j < kSubBlocks; ++j)
    affine_codes(sub[j], best_super.d.value * static_cast<float>(best.scale[j]),
                 -best_super.dmin.value * static_cast<float>(best.min[j]), levels,
                 best.q + kSub * j);
  return best;
}

}  // namespace pyslm::quant
