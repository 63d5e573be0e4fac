// Formats by GGUF type: whole-array decoding and encoding for callers that know the type only at
// run time. Kernels include the format's own header instead.
#pragma once

#include <cstdint>
#include <span>

#include "core/dtype.h"

namespace pyslm::quant {

struct Format {
  DType type;
  // num_elems: a multiple of the format's block_elems.
  void (*dequantize)(const void* blocks, float* out, int64_t num_elems);
  // importance: the weight of each element in the squared error, or null for the format's default;
  // it is as long as x. null where the format cannot be written (IQ4_NL, IQ4_XS).
  // x must be finite (see check_finite).
  void (*quantize)(const float* x, const float* importance, void* blocks, int64_t num_elems);
};

// Error (kUnsupported) for a type that is no weight (I8 .. F64).
const Format& format(DType type);
std::span<const Format> all_formats();

// Error (kInvalid) that names the first element that is NaN or infinite.
void check_finite(const float* x, int64_t num_elems);

}  // namespace pyslm::quant
