#include "isa/dialect_scalar.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_scalar;
constinit const Kernels kernels_scalar = make_table("scalar");
}  // namespace pyslm
