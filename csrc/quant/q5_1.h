// Q5_1: 32 elements in 24 bytes, 6 bits each;  x = d * q + m, q = nibble | fifth bit << 4.
//
//   byte  0  1 | 2  3 | 4  5  6  7           |  8              ...  23
//         d    | m    | qh: bit i = fifth    |  q16 q0              q31 q15     (high, low nibble)
//              |      |   bit of element i   |
#pragma once

#include "quant/affine.h"
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

static inline void quantize(const float* x, const float* importance, BlockQ5_1* block) {
  uint8_t q[32];
  const auto [d, m] = quantize_affine<32>(x, importance, 31, q);
  block->d = d, block->m = m;
  uint32_t fifth_bits = 0;
  for (int i = 0; i < 32; ++i) fifth_bits |= static_cast<uint32_t>(q[i] >> 4) << i;
  for (int i = 0; i < 4; ++i) block->qh[i] = static_cast<uint8_t>(fifth_bits >> (8 * i));
  for (int i = 0; i < 16; ++i)
    block->qs[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
}

}  // namespace pyslm::quant
