// F16: one IEEE half per element (sign 1, exponent 5, mantissa 10).
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockF16 {
  static constexpr DType kType = DType::kF16;
  static constexpr int kElems = 1;
  uint16_t value;
};
static_assert(sizeof(BlockF16) == 2);

static inline void dequantize(const BlockF16* block, float* out) {
  *out = fp16_to_fp32(block->value);
}

// Saturates: 65520 and above would be infinite, which no model survives.
static inline void quantize(const float* x, const float* /*importance*/, BlockF16* block) {
  const float bounded = *x > 65504.0f ? 65504.0f : *x < -65504.0f ? -65504.0f : *x;
  block->value = fp32_to_fp16(bounded);
}

}  // namespace pyslm::quant
