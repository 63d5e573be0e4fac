// BF16: the upper half of an IEEE single (sign 1, exponent 8, mantissa 7).
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockBF16 {
  static constexpr DType kType = DType::kBF16;
  static constexpr int kElems = 1;
  uint16_t value;
};
static_assert(sizeof(BlockBF16) == 2);

static inline void dequantize(const BlockBF16* block, float* out) {
  *out = bf16_to_fp32(block->value);
}

// Saturates instead of rounding up to infinity.
static inline void quantize(const float* x, const float* /*importance*/, BlockBF16* block) {
  constexpr float kLargest = bf16_to_fp32(0x7f7f);
  block->value = fp32_to_bf16(*x > kLargest ? kLargest : *x < -kLargest ? -kLargest : *x);
}

}  // namespace pyslm::quant
