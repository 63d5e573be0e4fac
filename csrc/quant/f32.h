// F32: one IEEE single per element.
#pragma once

#include "quant/format.h"

namespace pyslm::quant {

struct [[gnu::packed]] BlockF32 {
  static constexpr DType kType = DType::kF32;
  static constexpr int kElems = 1;
  float value;
};
static_assert(sizeof(BlockF32) == 4);

static inline void dequantize(const BlockF32* block, float* out) { *out = block->value; }

static inline void quantize(const float* x, const float* /*importance*/, BlockF32* block) {
  block->value = *x;
}

}  // namespace pyslm::quant
