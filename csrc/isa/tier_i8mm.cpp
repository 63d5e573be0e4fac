#define PYSLM_DOTPROD 1
#define PYSLM_I8MM 1
#include "isa/dialect_neon.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_i8mm;
constinit const Kernels kernels_i8mm = make_table("i8mm");
}  // namespace pyslm
