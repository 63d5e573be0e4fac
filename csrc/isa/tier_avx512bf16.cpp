#define PYSLM_VNNI 1
#include "isa/dialect_avx512.h"
#include "isa/tier.inl"
#include "kernels/matmul_bf16.inl"

namespace pyslm {
namespace {

constexpr Kernels with_bf16(Kernels table) {
  table.matmul[static_cast<int>(DType::kBF16)] = matmul_bf16;
  return table;
}

}  // namespace

extern const Kernels kernels_avx512bf16;
constinit const Kernels kernels_avx512bf16 = with_bf16(make_table("avx512bf16"));
}  // namespace pyslm
