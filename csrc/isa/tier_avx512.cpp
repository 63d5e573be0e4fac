#include "isa/dialect_avx512.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_avx512;
constinit const Kernels kernels_avx512 = make_table("avx512");
}  // namespace pyslm
