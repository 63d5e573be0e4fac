// Q8_0: 32 elements in 34 bytes, 8.5 bits each;  x = d * q, q signed.
//
//   byte  0  1 |  2   3   ...  33
//         d    |  q0  q1       q31
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockQ8_0 {
  static constexpr DType kType = DType::kQ8_0;
  static constexpr int kElems = kBlockElems;
  uint16_t d;  // half: scale
  int8_t qs[32];
};
static_assert(sizeof(BlockQ8_0) == 34);

static inline void dequantize(const BlockQ8_0* block, float* out) {
  const float d = fp16_to_fp32(block->d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block->qs[i]);
}

}  // namespace pyslm::quant
