// The tier's arithmetic peaks, for rooflines: 12 independent accumulators, operands in registers.
namespace pyslm {
namespace {

// 12 x 16 lanes x 4 products per round: 1,536 operations.
int32_t int8_peak(int64_t rounds) {
  I acc[12];
  PYSLM_UNROLL
  for (int n = 0; n < 12; ++n)
    acc[n] = iset(static_cast<int32_t>(rounds) + n);  // all different, or they would be merged
  B w = bset(1);
  const int8_t ones[4] = {1, 1, 1, 1};
  const Quad a = quad(ones);
  for (int64_t i = 0; i < rounds; ++i) {
    asm volatile("" ::: "memory");
    PYSLM_UNROLL
    for (int n = 0; n < 12; ++n) acc[n] = dot_u(acc[n], w, a);
  }
  PYSLM_UNROLL
  for (int n = 1; n < 12; ++n) acc[0] = iadd(acc[0], acc[n]);
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
