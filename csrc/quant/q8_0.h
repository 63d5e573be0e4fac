// Q8_0: 32 elements in 34 bytes, 8.5 bits each;  x = d * q, q signed.
//
//   byte  0  1 |  2   3   ...  33
//         d    |  q0  q1       q31
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ8_0 {
  static constexpr DType kType = DType::kQ8_0;
  static constexpr int kElems = kBlockElems;
  uint16_t d;  // half: scale
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

static inline void dequantize(const BlockQ8_0* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block->qs[i]);
}

// d = largest magnitude / 127, as everyone writes it: at 8 bits a search gains nothing. Where the
// half is no good image of d (subnormal: taken upwards if much would be cut off; or saturated),
// the codes follow the half instead.
static inline void quantize(const float* x, const float* /*importance*/, BlockQ8_0* block) {
  float largest = 0.0f;
  for (int i = 0; i < 32; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  float d = largest / 127.0f;
  uint16_t bits = fp32_to_fp16(d < 65504.0f ? d : 65504.0f);
  if (d < 0x1p-14f || d > 65504.0f) {
    if (largest > 127.5f * fp16_to_fp32(bits) && bits < 0x400) ++bits;
    d = fp16_to_fp32(bits);
  }
  block->d = bits;
  const float inverse = d > 0 ? 1.0f / d : 0.0f;
  for (int i = 0; i < 32; ++i) {
    float q = x[i] * inverse;
    q = q < -127.0f ? -127.0f : q > 127.0f ? 127.0f : q;
    block->qs[i] = static_cast<int8_t>(q < 0 ? q - 0.5f : q + 0.5f);  // ties away from zero
  }
}

}  // namespace pyslm::quant
