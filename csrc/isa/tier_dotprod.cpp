#define PYSLM_DOTPROD 1
#include "isa/dialect_neon.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_dotprod;
constinit const Kernels kernels_dotprod = make_table("dotprod");
}  // namespace pyslm
