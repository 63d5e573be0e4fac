#define PYSLM_VNNI 1
#include "isa/dialect_avx512.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_avx512vnni;
constinit const Kernels kernels_avx512vnni = make_table("avx512vnni");
}  // namespace pyslm
