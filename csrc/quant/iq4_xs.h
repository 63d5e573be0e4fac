// IQ4_XS: 256 elements in 136 bytes, 4.25 bits each, 8 sub-blocks of 32;
//   x = (d * (scale_j - 32)) * kIQ4Values[q]  with scale of 6 bits, q of 4.
//
//   byte  0 1 | 2 3                  | 4 .. 7                  | 8 .. 135
//         d   | scales_h: bits 2*j.. | scales_l: nibble j      | qs: byte 16*j + i holds
//             |   = upper 2 bits of  |   (low one first) = low |   q[32*j + i] (low nibble) and
//             |   scale j            |   4 bits of scale j     |   q[32*j + 16 + i] (high nibble)
#pragma once

#include "quant/iq4_nl.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockIQ4_XS {
  static constexpr DType kType = DType::kIQ4_XS;
  static constexpr int kElems = kSuperBlockElems;
  uint16_t d;  // half: scale of the scales
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// The scale of sub-block j (0..7), -32..31.
static inline int iq4_xs_scale(const BlockIQ4_XS* block, int j) {
  const int low = block->scales_l[j / 2] >> (4 * (j % 2)) & 15;
  return (low | (block->scales_h >> (2 * j) & 3) << 4) - 32;
}

static inline void dequantize(const BlockIQ4_XS* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int j = 0; j < 8; ++j) {
    const float scale = d * static_cast<float>(iq4_xs_scale(block, j));
    const uint8_t* qs = block->qs + 16 * j;
    for (int i = 0; i < 16; ++i) {
      out[32 * j + i] = scale * static_cast<float>(kIQ4Values[qs[i] & 15]);
      out[32 * j + 16 + i] = scale * static_cast<float>(kIQ4Values[qs[i] >> 4]);
    }
  }
}

}  // namespace pyslm::quant
