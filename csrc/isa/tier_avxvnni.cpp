#define PYSLM_VNNI 1
#include "isa/dialect_avx2.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_avxvnni;
constinit const Kernels kernels_avxvnni = make_table("avxvnni");
}  // namespace pyslm
