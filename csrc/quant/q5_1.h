// Q5_1: 32 elements in 24 bytes, 6 bits each;  x = d * q + m, q = nibble | fifth bit << 4.
//
//   byte  0  1 | 2  3 | 4  5  6  7           |  8              ...  23
//         d    | m    | qh: bit i = fifth    |  q16 q0              q31 q15     (high, low nibble)
//              |      |   bit of element i   |
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ5_1 {
  static constexpr DType kType = DType::kQ5_1;
  static constexpr int kElems = kBlockElems;
  uint16_t d;      // half: scale
  uint16_t m;      // half: minimum
  uint8_t qh[4];   // little endian: bit i belongs to element i
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockQ5_1) == 24);

static inline void dequantize(const BlockQ5_1* block, float* out) {
  const float d = fp16_to_fp32(block->d), m = fp16_to_fp32(block->m);
  for (int i = 0; i < 16; ++i) {
    const int low = (block->qs[i] & 15) | ((block->qh[i / 8] >> (i % 8) & 1) << 4);
    const int high = (block->qs[i] >> 4) | ((block->qh[2 + i / 8] >> (i % 8) & 1) << 4);
    out[i] = d * static_cast<float>(low) + m;
    out[i + 16] = d * static_cast<float>(high) + m;
  }
}

}  // namespace pyslm::quant
