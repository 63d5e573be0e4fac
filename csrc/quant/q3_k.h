// Q3_K: 256 elements in 110 bytes, 3.4375 bits each, 16 sub-blocks of 16;
//   x = (d * (scale_j - 32)) * (q - 4)        with scale of 6 bits, q = 2 low bits | high bit << 2.
//
//   byte  0 .. 31                   | 32 .. 95                          | 96 .. 107 | 108 109
//         hmask: bit b of byte i    | qs: byte 32*h + i (h = 0, 1)      | scales    | d
//         = high bit of q[32*b + i] |   holds, from bits 0, 2, 4, 6:    |           |
//                                   |   q[128*h + i], +32, +64, +96     |           |
//
//   scales: byte k (0..7)   low nibble: low 4 bits of scale k, high nibble: of scale k + 8
//           byte 8 + k (0..3)  bits 0, 2, 4, 6: upper 2 bits of scales k, k + 4, k + 8, k + 12
#pragma once

#include "quant/format.h"
#include "quant/symmetric.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ3_K {
  static constexpr DType kType = DType::kQ3_K;
  static constexpr int kElems = kSuperBlockElems;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;  // half: scale of the scales
};
static_assert(sizeof(BlockQ3_K) == 110);

// The scale of sub-block j (0..15), -32..31.
static inline int q3_k_scale(const uint8_t scales[12], int j) {
  const int low = scales[j % 8] >> (4 * (j / 8)) & 15;
  const int high = scales[8 + j % 4] >> (2 * (j / 4)) & 3;
  return (low | high << 4) - 32;
}

static inline void dequantize(const BlockQ3_K* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(q3_k_scale(block->scales, j));
    const uint8_t* qs = block->qs + 32 * (j / 8) + 16 * (j % 2);
    const uint8_t* hmask = block->hmask + 16 * (j % 2);
    const int shift = 2 * (j / 2 % 4);
    for (int i = 0; i < 16; ++i) {
      const int q = (qs[i] >> shift & 3) | (hmask[i] >> (j / 2) & 1) << 2;
      out[16 * j + i] = scale * static_cast<float>(q - 4);
    }
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ3_K* block) {
  const SymmetricSuper fit = quantize_symmetric_super(x, importance, -4, 3, -32, 31);
  *block = {};
  block->d = fit.d;
  for (int j = 0; j < 16; ++j) {
    const int scale = fit.scale[j] + 32;
    block->scales[j % 8] |= static_cast<uint8_t>((scale & 15) << (4 * (j / 8)));
    block->scales[8 + j % 4] |= static_cast<uint8_t>((scale >> 4) << (2 * (j / 4)));
  }
  for (int i = 0; i < 256; ++i) {
    const int q = fit.q[i] + 4;
    block->qs[32 * (i / 128) + i % 32] |= static_cast<uint8_t>((q & 3) << (2 * (i / 32 % 4)));
    block->hmask[i % 32] |= static_cast<uint8_t>((q >> 2) << (i / 32));
  }
}

}  // namespace pyslm::quant
