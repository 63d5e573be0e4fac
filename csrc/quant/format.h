// What every format header shares. One header per GGUF weight format: its block as it lies in the
// file, drawn in the header comment (bytes left to right, element numbers as in the row), and
//
//   void dequantize(const Block* block, float* out);   // Block::kElems floats
//   void quantize(const float* x, const float* importance_or_null, Block* block);
//
// Decoding is in float32 and in one order of operations, which the `gguf` package's decoder has
// too: results are equal to the bit. Encoding searches for the scales (symmetric.h, affine.h). x
// must be finite. Blocks are packed, so they can be read at any address. Everything here has
// internal linkage: these headers are compiled into objects for several instruction sets.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/half.h"

namespace pyslm::quant {

constexpr int kBlockElems = 32;        // Q4_0 .. Q8_0, IQ4_NL, MXFP4
constexpr int kSuperBlockElems = 256;  // K-quants and IQ4_XS

}  // namespace pyslm::quant
