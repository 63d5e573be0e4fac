// Q4_0: 32 elements in 18 bytes, 4.5 bits each;  x = d * (q - 8).
//
//   byte  0  1 |  2              3              ...  17
//         d    |  q16 q0         q17 q1              q31 q15      (high nibble, low nibble)
#pragma once

#include "quant/format.h"

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

}  // namespace pyslm::quant
