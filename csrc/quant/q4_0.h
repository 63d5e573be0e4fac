// Q4_0: 32 elements in 18 bytes, 4.5 bits each;  x = d * (q - 8).
//
//   byte  0  1 |  2              3              ...  17
//         d    |  q16 q0         q17 q1              q31 q15      (high nibble, low nibble)
#pragma once

#include "quant/format.h"
#include "quant/symmetric.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ4_0 {
  static constexpr DType kType = DType::kQ4_0;
  static constexpr int kElems = kBlockElems;
  uint16_t d;      // half: scale
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockQ4_0) == 18);

static inline void dequantize(const BlockQ4_0* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block->qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block->qs[i] >> 4) - 8);
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ4_0* block) {
  int8_t q[32];
  block->d = quantize_symmetric<32>(x, importance, -8, 7, q);
  for (int i = 0; i < 16; ++i)
    block->qs[i] = static_cast<uint8_t>((q[i] + 8) | (q[i + 16] + 8) << 4);
}

}  // namespace pyslm::quant
