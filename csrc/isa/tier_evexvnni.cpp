#define PYSLM_VNNI 1
#define PYSLM_EVEX_VNNI 1
#include "isa/dialect_avx2.h"
#include "isa/tier.inl"

namespace pyslm {
extern const Kernels kernels_evexvnni;
constinit const Kernels kernels_evexvnni = make_table("evexvnni");
}  // namespace pyslm
