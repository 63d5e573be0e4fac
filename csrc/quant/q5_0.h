// Q5_0: 32 elements in 22 bytes, 5.5 bits each;  x = d * (q - 16), q = nibble | fifth bit << 4.
//
//   byte  0  1 | 2  3  4  5           |  6              ...  21
//         d    | qh: bit i = fifth    |  q16 q0              q31 q15     (high nibble, low nibble)
//              |   bit of element i   |
#pragma once

#include "quant/format.h"
#include "quant/symmetric.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ5_0 {
  static constexpr DType kType = DType::kQ5_0;
  static constexpr int kElems = kBlockElems;
  uint16_t d;      // half: scale
  uint8_t qh[4];   // little endian: bit i belongs to element i
  uint8_t qs[16];  // low nibbles: elements 0..15, high nibbles: 16..31
};
static_assert(sizeof(BlockQ5_0) == 22);

static inline void dequantize(const BlockQ5_0* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int i = 0; i < 16; ++i) {
    const int low = (block->qs[i] & 15) | ((block->qh[i / 8] >> (i % 8) & 1) << 4);
    const int high = (block->qs[i] >> 4) | ((block->qh[2 + i / 8] >> (i % 8) & 1) << 4);
    out[i] = d * static_cast<float>(low - 16);
    out[i + 16] = d * static_cast<float>(high - 16);
  }
}

static inline void quantize(const float* x, const float* importance, BlockQ5_0* block) {
  int8_t q[32];
  block->d = quantize_symmetric<32>(x, importance, -16, 15, q);
  uint32_t fifth_bits = 0;
  for (int i = 0; i < 32; ++i) fifth_bits |= static_cast<uint32_t>((q[i] + 16) >> 4) << i;
  for (int i = 0; i < 4; ++i) block->qh[i] = static_cast<uint8_t>(fifth_bits >> (8 * i));
  for (int i = 0; i < 16; ++i)
    block->qs[i] = static_cast<uint8_t>(((q[i] + 16) & 15) | ((q[i + 16] + 16) & 15) << 4);
}

}  // namespace pyslm::quant
