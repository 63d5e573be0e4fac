// Q4_K: 256 elements in 144 bytes, 4.5 bits each, 8 sub-blocks of 32;
//   x = (d * scale_j) * q - dmin * min_j      with scale and min of 6 bits, q of 4.
//
//   byte  0 1 | 2 3  | 4 .. 15          | 16 .. 143
//         d   | dmin | scales and mins, | qs: byte 32*p + i (p = 0..3) holds q[64*p + i] (low
//             |      |   see k_scales.h |   nibble) and q[64*p + 32 + i] (high nibble)
#pragma once

#include "quant/affine_super.h"
#include "quant/format.h"
#include "quant/k_scales.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ4_K {
  static constexpr DType kType = DType::kQ4_K;
  static constexpr int kElems = kSuperBlockElems;
  uint16_t d;     // half: scale of the scales
  uint16_t dmin;  // half: scale of the minima
  uint8_t scales[12];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ4_K) == 144);

static inline void dequantize(const BlockQ4_K* block, float* out) {
  const float d = fp16_to_fp32(block->d), dmin = fp16_to_fp32(block->dmin);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(k_scale(block->scales, j));
    const float min = dmin * static_cast<float>(k_min(block->scales, j));
    const uint8_t* qs = block->qs + 32 * (j / 2);
    const int shift = 4 * (j % 2);
    for (int i = 0; i < 32; ++i)
      out[32 * j + i] = scale * static_cast<float>(qs[i] >> shift & 15) - min;
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ4_K* block) {
  const auto fit = quantize_affine_super<32>(x, importance, 15, 63);
  block->d = fit.d, block->dmin = fit.dmin;
  pack_k_scales(fit.scale, fit.min, block->scales);
  for (int i = 0; i < 128; ++i) {
    const uint8_t* q = fit.q + 64 * (i / 32) + i % 32;
    block->qs[i] = static_cast<uint8_t>(q[0] | q[32] << 4);
  }
}

}  // namespace pyslm::quant
