// Q5_K: 256 elements in 176 bytes, 5.5 bits each, 8 sub-blocks of 32;
//   x = (d * scale_j) * q - dmin * min_j      with scale and min of 6 bits, q of 5.
//
//   byte  0 1 | 2 3  | 4 .. 15          | 16 .. 47                | 48 .. 175
//         d   | dmin | scales and mins, | qh: bit j of byte i =   | qs: nibbles as in Q4_K
//             |      |   see k_scales.h |   fifth bit of          |
//             |      |                  |   q[32*j + i]           |
#pragma once

#include "quant/affine_super.h"
#include "quant/format.h"
#include "quant/k_scales.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ5_K {
  static constexpr DType kType = DType::kQ5_K;
  static constexpr int kElems = kSuperBlockElems;
  uint16_t d;     // half: scale of the scales
  uint16_t dmin;  // half: scale of the minima
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
static_assert(sizeof(BlockQ5_K) == 176);

static inline void dequantize(const BlockQ5_K* block, float* out) {
  const float d = fp16_to_fp32(block->d), dmin = fp16_to_fp32(block->dmin);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(k_scale(block->scales, j));
    const float min = dmin * static_cast<float>(k_min(block->scales, j));
    const uint8_t* qs = block->qs + 32 * (j / 2);
    const int shift = 4 * (j % 2);
    for (int i = 0; i < 32; ++i) {
      const int q = (qs[i] >> shift & 15) | (block->qh[i] >> j & 1) << 4;
      out[32 * j + i] = scale * static_cast<float>(q) - min;
    }
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ5_K* block) {
  const auto fit = quantize_affine_super<32>(x, importance, 31, 63);
  *block = {};
  block->d = fit.d, block->dmin = fit.dmin;
  pack_k_scales(fit.scale, fit.min, block->scales);
  for (int i = 0; i < 256; ++i) {
    const int j = i / 32;
    block->qs[32 * (j / 2) + i % 32] |= static_cast<uint8_t>((fit.q[i] & 15) << (4 * (j % 2)));
    block->qh[i % 32] |= static_cast<uint8_t>((fit.q[i] >> 4) << j);
  }
}

}  // namespace pyslm::quant
