#include "isa/dialect_avx2.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_avx2;
constinit const Kernels kernels_avx2 = make_table("avx2");
}  // namespace pyslm
