// Every CPU entry point that exists once per ISA tier: pointers to whole kernels, never to a dot
// product. Dispatch happens once per operation and range of rows.
#pragma once

#include <cstdint>

namespace pyslm {

// Where the parts of quantized activations lie; see backend/cpu/ops.h and kernels/activations.inl.
// Rows come in groups of at most `group` (a property of the tier); within a group of n rows the
// int8 quads interleave as [dim/4][n][4] and the floats as [dim][n].
struct ActLayout {
  int rows = 0, dim = 0, group = 0;
  float* f32 = nullptr;       // groups end to end, each [dim][n]; null unless Form::kFloat
  int8_t* q8 = nullptr;       // groups end to end, each [dim/4][n][4]
  float* scale = nullptr;     // [dim/32][n] per group
  int32_t* sums = nullptr;    // [dim/16][n] per group: sums of the int8 values of 16 channels
};

struct Kernels;  // completed by the kernels' own header

}  // namespace pyslm
