// MXFP4 (OCP Microscaling): 32 elements in 17 bytes, 4.25 bits each;
//   x = 2^(e - 127) * E2M1(q) = 2^(e - 128) * kMXFP4Values[q].
//
//   byte  0 |  1              2              ...  16
//         e |  q16 q0         q17 q1              q31 q15      (high nibble, low nibble)
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

// Twice the E2M1 values, so that they are integers.
constexpr int8_t kMXFP4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct [[gnu::packed]] BlockMXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  static constexpr int kElems = kBlockElems;
  uint8_t e;       // E8M0: a power of two, bias 127
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockMXFP4) == 17);

// 2^(e - 128): half of the E8M0 number, to go with kMXFP4Values. e = 255 (NaN in the OCP
// specification) is taken as 2^127, as the file format's other readers do.
static constexpr float e8m0_half(uint8_t e) {
  const uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23;
  return __builtin_bit_cast(float, bits);
}

static inline void dequantize(const BlockMXFP4* block, float* out) {
  const float d = e8m0_half(block->e);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kMXFP4Values[block->qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kMXFP4Values[block->qs[i] >> 4]);
  }
}

// The code nearest to x = magnitude / e8m0_half(e), ties to the smaller magnitude.
static inline uint8_t mxfp4_code(double x) {
  const double u = x < 0 ? -x : x;
  const int code = (u > 0.5) + (u > 1.5) + (u > 2.5) + (u > 3.5) + (u > 5) + (u > 7) + (u > 10);
  return static_cast<uint8_t>(x < 0 && code > 0 ? code | 8 : code);
}

// Squared error of the block with exponent e; fills the codes.
static inline double mxfp4_encode(const float* x, const float* importance, int e, uint8_t* codes) {
  const double d = e8m0_half(static_cast<uint8_t>(e));
  double error = 0;
  for (int i = 0; i < 32; ++i) {
    codes[i] = mxfp4_code(x[i] / d);
    const double rest = x[i] / d - kMXFP4Values[codes[i]];
    error += rest * rest * (importance ? static_cast<double>(importance[i]) : 1.0);
  }
  return error * d * d;
}

// The OCP rule takes the exponent from the largest magnitude (to 4..8 of the E2M1 grid, which ends
// at 6); one more or one less is often better. Beyond kLastExponent, 12 halves of the scale would
// overflow.
static inline void quantize(const float* x, const float* importance, BlockMXFP4* block) {
  constexpr int kLastExponent = 252;
  float largest = 0.0f;
  for (int i = 0; i < 32; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  *block = {};
  if (largest == 0) return;
  const int exponent = static_cast<int>(__builtin_bit_cast(uint32_t, largest) >> 23) - 2;
  const int first = exponent < 1 ? 0 : exponent - 1;
  const int last = exponent + 1 < kLastExponent ? exponent + 1 : kLastExponent;
  double least = -1;
  for (int e = first; e <= last || e == first; ++e) {
    uint8_t codes[32];
    const double error = mxfp4_encode(x, importance, e, codes);
    if (least >= 0 && error >= least) continue;
    least = error;
    block->e = static_cast<uint8_t>(e);
    for (int i = 0; i < 16; ++i) block->qs[i] = static_cast<uint8_t>(codes[i] | codes[i + 16] << 4);
  }
}

}  // namespace pyslm::quant
