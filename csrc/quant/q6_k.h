// Q6_K: 256 elements in 210 bytes, 6.5625 bits each, 16 sub-blocks of 16;
//   x = (d * scale_j) * (q - 32)              with scale a signed byte, q of 6 bits.
//
//   byte  0 .. 127                            | 128 .. 191                  | 192 .. 207 | 208 209
//         ql: byte 64*h + i (h = 0, 1; i < 64)| qh: byte 32*h + i (i < 32)  | scales     | d
//           holds low 4 bits of q[128*h + i]  |   holds, from bits 0, 2, 4, |            |
//           (low nibble), q[128*h + 64 + i]   |   6: upper 2 bits of        |            |
//           (high nibble)                     |   q[128*h + i], +32, +64,   |            |
//                                             |   +96                       |            |
#pragma once

#include "quant/format.h"
#include "quant/symmetric.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ6_K {
  static constexpr DType kType = DType::kQ6_K;
  static constexpr int kElems = kSuperBlockElems;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;  // half: scale of the scales
};
static_assert(sizeof(BlockQ6_K) == 210);

static inline void dequantize(const BlockQ6_K* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int j = 0; j < 16; ++j) {
    const float scale = d * static_cast<float>(block->scales[j]);
    const int half = j / 8, quarter = j / 2 % 4;
    const uint8_t* ql = block->ql + 64 * half + 32 * (quarter % 2) + 16 * (j % 2);
    const uint8_t* qh = block->qh + 32 * half + 16 * (j % 2);
    for (int i = 0; i < 16; ++i) {
      const int q = (ql[i] >> (4 * (quarter / 2)) & 15) | (qh[i] >> (2 * quarter) & 3) << 4;
      out[16 * j + i] = scale * static_cast<float>(q - 32);
    }
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ6_K* block) {
  const SymmetricSuper fit = quantize_symmetric_super(x, importance, -32, 31, -128, 127);
  *block = {};
  block->d = fit.d;
  for (int j = 0; j < 16; ++j) block->scales[j] = fit.scale[j];
  for (int i = 0; i < 256; ++i) {
    const int q = fit.q[i] + 32, half = i / 128, quarter = i / 32 % 4;
    block->ql[64 * half + i % 64] |= static_cast<uint8_t>((q & 15) << (4 * (quarter / 2)));
    block->qh[32 * half + i % 32] |= static_cast<uint8_t>((q >> 4) << (2 * quarter));
  }
}

}  // namespace pyslm::quant
