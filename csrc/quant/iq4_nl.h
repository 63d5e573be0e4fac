// IQ4_NL: 32 elements in 18 bytes, 4.5 bits each;  x = d * kIQ4Values[q]: a codebook that is denser
// around zero, as weights are.
//
//   byte  0  1 |  2              3              ...  17
//         d    |  q16 q0         q17 q1              q31 q15      (high nibble, low nibble)
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113};

struct [[gnu::packed]] BlockIQ4_NL {
  static constexpr DType kType = DType::kIQ4_NL;
  static constexpr int kElems = kBlockElems;
  uint16_t d;      // half: scale
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockIQ4_NL) == 18);

static inline void dequantize(const BlockIQ4_NL* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kIQ4Values[block->qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kIQ4Values[block->qs[i] >> 4]);
  }
}

}  // namespace pyslm::quant
