// Elementary functions over 16 lanes, from the dialect's primitives alone, so that every tier gives
// the same bits.
namespace pyslm {
namespace {

// e^x, about 1 ulp: x = n ln 2 + r, degree-6 polynomial (Cephes' coefficients). 0 below -87.3,
// +inf not reached: x is clamped to 88.
inline F vexp(F x) {
  const F clamped = fmin(fmax(x, fset(-87.3f)), fset(88.0f));
  const I n = iround(fmul(clamped, fset(1.44269504088896341f)));
  const F whole = fcvt(n);
  F r = fma(whole, fset(-0.693359375f), clamped);
  r = fma(whole, fset(2.12194440e-4f), r);
  F p = fset(1.9875691500e-4f);
  p = fma(p, r, fset(1.3981999507e-3f));
  p = fma(p, r, fset(8.3334519073e-3f));
  p = fma(p, r, fset(4.1665795894e-2f));
  p = fma(p, r, fset(1.6666665459e-1f));
  p = fma(p, r, fset(5.0000001201e-1f));
  const F y = fma(p, fmul(r, r), fadd(r, fset(1.0f)));
  return fselect_lt(x, fset(-87.3f), fzero(), fmul(y, fpow2(n)));
}

inline float exp1(float x) {
  float lanes[16];
  fstore(lanes, vexp(fset(x)));
  return lanes[0];
}

inline F sigmoid(F x) { return fdiv(fset(1.0f), fadd(fset(1.0f), vexp(fsub(fzero(), x)))); }

// tanh u = 2 sigmoid(2u) - 1; below 0.05, where that cancels, u - u^3/3 + 2u^5/15.
inline F vtanh(F u) {
  const F square = fmul(u, u);
  const F small = fmul(u, fma(square, fma(square, fset(2.0f / 15), fset(-1.0f / 3)), fset(1.0f)));
  const F large = fma(fset(2.0f), sigmoid(fmul(fset(2.0f), u)), fset(-1.0f));
  return fselect_lt(fabs(u), fset(0.05f), small, large);
}

// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
inline F verf(F x) {
  const F a = fabs(x), t = fdiv(fset(1.0f), fma(fset(0.3275911f), a, fset(1.0f)));
  F p = fset(1.061405429f);
  p = fma(p, t, fset(-1.453152027f));
  p = fma(p, t, fset(1.421413741f));
  p = fma(p, t, fset(-0.284496736f));
  p = fma(p, t, fset(0.254829592f));
  const F y = fsub(fset(1.0f), fmul(fmul(p, t), vexp(fsub(fzero(), fmul(a, a)))));
  return fselect_lt(x, fzero(), fsub(fzero(), y), y);
}

// Up to 16 floats from p, the lanes past `count` filled; and back.
inline F fload_part(const float* p, int32_t count, float fill) {
  if (count >= 16) return fload(p);
  float lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = i < count ? p[i] : fill;
  return fload(lanes);
}
inline void fstore_part(float* p, int32_t count, F x) {
  if (count >= 16) return fstore(p, x);
  float lanes[16];
  fstore(lanes, x);
  for (int i = 0; i < count; ++i) p[i] = lanes[i];
}

}  // namespace
}  // namespace pyslm
