// The tier's arithmetic peaks, for rooflines: independent accumulators that the registers can hold.
namespace pyslm {
namespace {

// 12 x 16 lanes x 4 products per round: 1,536 operations. The activations are those of 12 rows in
// memory, as a kernel finds them: equal operands would be multiplied once for all.
int32_t int8_peak(int64_t rounds) {
  constexpr int kSums = 6;
  I acc[kSums];
  PYSLM_UNROLL
  for (int n = 0; n < kSums; ++n) acc[n] = iset(n);
  const B w = bset(1);
  int8_t rows[2 * kSums][4];
  __builtin_memset(rows, 1, sizeof(rows));
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("" : : "r"(rows) : "memory");
    PYSLM_UNROLL
    for (int n = 0; n < 2 * kSums; ++n) acc[n % kSums] = dot_u(acc[n % kSums], w, quad(rows[n]));
  }
  PYSLM_UNROLL
  for (int n = 1; n < kSums; ++n) acc[0] = iadd(acc[0], acc[n]);
  return ireduce_add(acc[0]);
}

// 12 x 16 multiply-adds per round: 384 operations.
float float_peak(int64_t rounds) {
  F acc[12];
  PYSLM_UNROLL
  for (int n = 0; n < 12; ++n) acc[n] = fset(static_cast<float>(rounds + n));
  const F x = fset(0.5f), y = fset(1.0f);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("" ::: "memory");
    PYSLM_UNROLL
    for (int n = 0; n < 12; ++n) acc[n] = fma(acc[n], x, y);
  }
  PYSLM_UNROLL
  for (int n = 1; n < 12; ++n) acc[0] = fadd(acc[0], acc[n]);
  return freduce_add(acc[0]);
}

}  // namespace
}  // namespace pyslm
