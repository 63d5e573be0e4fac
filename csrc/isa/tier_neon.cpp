#include "isa/dialect_neon.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_neon;
constinit const Kernels kernels_neon = make_table("neon");
}  // namespace pyslm
