// The numbers of one (sub-)block as the quantizers see them: normalised, with the weight of each in
// the squared error, four to a vector. Vectors are the compiler's own 128-bit ones (SSE2 and NEON
// are everywhere), with one fixed order of summation: the same bytes come out on every machine.
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

using F32x4 = float __attribute__((vector_size(16)));

static inline F32x4 splat(float value) { return F32x4{value, value, value, value}; }
static inline float sum_lanes(F32x4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

// The nearest integer within [lo, hi]; exact for |lo|, |hi| < 2^22.
static inline F32x4 nearest(F32x4 v, F32x4 lo, F32x4 hi) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it drops the fraction
  v = v < lo ? lo : v;
  v = v > hi ? hi : v;
  return (v + kMagic) - kMagic;
}

static inline float nearest(float v, float lo, float hi) {
  constexpr float kMagic = 12582912.0f;
  v = v < lo ? lo : v;
  v = v > hi ? hi : v;
  return (v + kMagic) - kMagic;
}

static inline float magnitude(float v) { return v < 0 ? -v : v; }

template <int kElems>
struct Sample {
  static constexpr int kVectors = kElems / 4;
  F32x4 x[kVectors], w[kVectors];
};

// A power of two that brings the largest magnitude of a block to [2, 4), so that squares neither
// overflow nor vanish. `zero`: the block is so small that every half scale rounds to zero.
struct Range {
  bool zero = true;
  float factor = 1.0f;   // block -> sample
  float inverse = 1.0f;  // sample -> block
};

static inline Range range_of(const float* x, int num_elems) {
  float largest = 0.0f;
  for (int i = 0; i < num_elems; ++i)
    largest = magnitude(x[i]) > largest ? magnitude(x[i]) : largest;
  if (largest < 0x1p-26f) return {};
  const int exponent = static_cast<int>(__builtin_bit_cast(uint32_t, largest) >> 23) - 128;
  const auto power = [](int e) {
    return __builtin_bit_cast(float, static_cast<uint32_t>(e + 127) << 23);
  };
  return {false, power(-exponent), power(exponent)};
}

// The nearest half to a scale given in sample units, never infinite.
struct HalfScale {
  uint16_t bits = 0;
  float value = 0.0f;  // in sample units
};

static inline HalfScale half_scale(float scale, const Range& range) {
  float wanted = scale * range.inverse;
  wanted = wanted > 65504.0f ? 65504.0f : wanted < -65504.0f ? -65504.0f : wanted;
  const uint16_t bits = fp32_to_fp16(wanted);
  return {bits, fp16_to_fp32(bits) * range.factor};
}

// The half nearest to extreme / limit; the next larger one where rounding (coarse among subnormals)
// would cut more than half a step off the range.
static inline HalfScale covering_scale(float extreme, int limit, const Range& range) {
  HalfScale scale = half_scale(extreme / static_cast<float>(limit), range);
  const float reach = magnitude(scale.value) * (magnitude(static_cast<float>(limit)) + 0.5f);
  if (magnitude(extreme) <= reach || (scale.bits & 0x7fffu) == 0x7bffu) return scale;
  scale.bits = static_cast<uint16_t>(scale.bits + 1);
  scale.value = fp16_to_fp32(scale.bits) * range.factor;
  return scale;
}

// importance: kElems non-negative numbers, or null for 1. An element's weight in the squared error
// is importance * (rms + |x|): a little more for large weights, which matter more than their share
// once multiplied, and still something for small ones.
template <int kElems>
static inline Sample<kElems> load_sample(const float* x, const float* importance,
                                         const Range& range) {
  Sample<kElems> sample;
  F32x4 sum_xx{};
  for (int i = 0; i < kElems / 4; ++i) {
    sample.x[i] = F32x4{x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]} * range.factor;
    sum_xx += sample.x[i] * sample.x[i];
  }
  float largest = 0.0f;
  for (int i = 0; importance && i < kElems; ++i)
    largest = importance[i] > largest ? importance[i] : largest;
  const float unit = largest > 0 ? 1.0f / largest : 0.0f;
  const float rms = __builtin_sqrtf(sum_lanes(sum_xx) / kElems);
  for (int i = 0; i < kElems / 4; ++i) {
    sample.w[i] = rms + (sample.x[i] < 0 ? -sample.x[i] : sample.x[i]);
    for (int lane = 0; lane < 4 && unit > 0; ++lane)
      sample.w[i][lane] *= importance[4 * i + lane] * unit;
  }
  return sample;
}

}  // namespace pyslm::quant
