// Q4_1: 32 elements in 20 bytes, 5 bits each;  x = d * q + m.
//
//   byte  0  1 | 2  3 |  4              5              ...  19
//         d    | m    |  q16 q0         q17 q1              q31 q15      (high nibble, low nibble)
#pragma once

#include "quant/affine.h"
#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ4_1 {
  static constexpr DType kType = DType::kQ4_1;
  static constexpr int kElems = kBlockElems;
  uint16_t d;      // half: scale
  uint16_t m;      // half: minimum
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockQ4_1) == 20);

static inline void dequantize(const BlockQ4_1* block, float* out) {
  const float d = fp16_to_fp32(block->d), m = fp16_to_fp32(block->m);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block->qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block->qs[i] >> 4) + m;
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ4_1* block) {
  uint8_t q[32];
  const auto [d, m] = quantize_affine<32>(x, importance, 15, q);
  block->d = d, block->m = m;
  for (int i = 0; i < 16; ++i) block->qs[i] = static_cast<uint8_t>(q[i] | q[i + 16] << 4);
}

}  // namespace pyslm::quant
