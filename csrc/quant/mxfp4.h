// MXFP4 (OCP Microscaling): 32 elements in 17 bytes, 4.25 bits each;
//   x = 2^(e - 127) * E2M1(q) = 2^(e - 128) * kMXFP4Values[q].
//
//   byte  0 |  1              2              ...  16
//         e |  q16 q0         q17 q1              q31 q15      (high nibble, low nibble)
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

// Twice the E2M1 values, so that they are integers.
constexpr int8_t kMXFP4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

struct [[gnu::packed]] BlockMXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  static constexpr int kElems = kBlockElems;
  uint8_t e;       // E8M0: a power of two, bias 127
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockMXFP4) == 17);

// 2^(e - 128): half of the E8M0 number, to go with kMXFP4Values. e = 255 (NaN in the OCP
// specification) is taken as 2^127, as the file format's other readers do.
static constexpr float e8m0_half(uint8_t e) {
  const uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23;
  return __builtin_bit_cast(float, bits);
}

static inline void dequantize(const BlockMXFP4* block, float* out) {
  const float d = e8m0_half(block->e);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(kMXFP4Values[block->qs[i] & 15]);
    out[i + 16] = d * static_cast<float>(kMXFP4Values[block->qs[i] >> 4]);
  }
}

}  // namespace pyslm::quant
