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

}  // namespace pyslm::quant
