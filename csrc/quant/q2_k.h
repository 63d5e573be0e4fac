// Q2_K: 256 elements in 84 bytes, 2.625 bits each, 16 sub-blocks of 16;
//   x = (d * scale_j) * q - dmin * min_j      with scale and min of 4 bits, q of 2.
//
//   byte  0 .. 15                  | 16 .. 79                                    | 80 81 | 82 83
//         scales: min_j scale_j    | qs: byte 32*h + i (h = 0, 1) holds, from    | d     | dmin
//         (high, low nibble)       |   bits 0, 2, 4, 6: q[128*h + i], +32, +64,  |       |
//                                  |   +96                                       |       |
#pragma once

#include "quant/affine_super.h"
#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ2_K {
  static constexpr DType kType = DType::kQ2_K;
  static constexpr int kElems = kSuperBlockElems;
  uint8_t scales[16];  // low nibble: scale, high nibble: minimum of sub-block j
  uint8_t qs[64];
  uint16_t d;     // half: scale of the scales
  uint16_t dmin;  // half: scale of the minima
};
static_assert(sizeof(BlockQ2_K) == 84);

static inline void dequantize(const BlockQ2_K* block, float* out) {
  const float d = fp16_to_fp32(block->d), dmin = fp16_to_fp32(block->dmin);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(block->scales[j] & 15);
    const float min = dmin * static_cast<float>(block->scales[j] >> 4);
    const uint8_t* qs = block->qs + 32 * (j / 8) + 16 * (j % 2);
    const int shift = 2 * (j / 2 % 4);
    for (int i = 0; i < 16; ++i)
      out[16 * j + i] = scale * static_cast<float>(qs[i] >> shift & 3) - min;
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ2_K* block) {
  const auto fit = quantize_affine_super<16>(x, importance, 3, 15);
  block->d = fit.d, block->dmin = fit.dmin;
  for (int j = 0; j < 16; ++j)
    block->scales[j] = static_cast<uint8_t>(fit.scale[j] | fit.min[j] << 4);
  for (int i = 0; i < 64; ++i) {
    const uint8_t* q = fit.q + 128 * (i / 32) + i % 32;
    block->qs[i] = static_cast<uint8_t>(q[0] | q[32] << 2 | q[64] << 4 | q[96] << 6);
  }
}

}  // namespace pyslm::quant
