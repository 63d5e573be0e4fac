// Tensor element types, numbered as in GGUF, with their block sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pyslm {

enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kBF16 = 30,
  kMXFP4 = 39,
};

struct DTypeInfo {
  DType type;
  const char* name;  // upper case, as the gguf package spells it
  int block_elems;   // elements of one block along the innermost dimension
  int block_bytes;
  bool weight;  // can be the weight of a matrix product here
};

// Every type we can read; nullptr from find_dtype for any other number.
std::span<const DTypeInfo> all_dtypes();
const DTypeInfo* find_dtype(uint32_t gguf_type);
const DTypeInfo& dtype_info(DType type);
// The name of any GGUF type number, known to us or not ("IQ2_XXS"), for error messages.
const char* gguf_type_name(uint32_t gguf_type);

}  // namespace pyslm
