// The dialect on AArch64 NEON: 16 lanes are four registers. PYSLM_DOTPROD adds sdot; PYSLM_I8MM
// adds smmla, by which dot_matrix() serves many rows.
#pragma once

#include <arm_neon.h>

#include <cstdint>

#include "kernels/unroll.h"

namespace pyslm {
namespace {

struct F {
  float32x4_t v[4];
};
struct I {
  int32x4_t v[4];
};
struct B {
  uint8x16_t v[4];
};
using Quad = int8x16_t;

template <class R, class Op>
inline R each(Op op) {
  return {{op(0), op(1), op(2), op(3)}};
}

inline F fset(float x) {
  return each<F>([=](int) { return vdupq_n_f32(x); });
}
inline F fzero() { return fset(0.0f); }
inline F fload(const float* p) {
  return each<F>([=](int i) { return vld1q_f32(p + 4 * i); });
}
inline void fstore(float* p, F x) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, x.v[i]);
}
inline F fload_half(const uint16_t* p) {
  return each<F>([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void fstore_half(uint16_t* p, F x) {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
}
inline F fcvt(I x) {
  return each<F>([&](int i) { return vcvtq_f32_s32(x.v[i]); });
}
inline I iload_u16(const uint16_t* p) {
  return each<I>([=](int i) { return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p + 4 * i))); });
}
inline I iload_u8(const uint8_t* p) {
  const uint8x16_t b = vld1q_u8(p);
  const uint16x8_t lo = vmovl_u8(vget_low_u8(b)), hi = vmovl_u8(vget_high_u8(b));
  return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(lo))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(lo))),
           vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(hi))),
           vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(hi)))}};
}
inline F fload_u8(const uint8_t* p) { return fcvt(iload_u8(p)); }
inline F fload_i8(const int8_t* p) {
  const int8x16_t b = vld1q_s8(p);
  const int16x8_t lo = vmovl_s8(vget_low_s8(b)), hi = vmovl_s8(vget_high_s8(b));
  return fcvt({{vmovl_s16(vget_low_s16(lo)), vmovl_s16(vget_high_s16(lo)),
                vmovl_s16(vget_low_s16(hi)), vmovl_s16(vget_high_s16(hi))}});
}
inline F fadd(F a, F b) {
  return each<F>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline F fsub(F a, F b) {
  return each<F>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline F fmul(F a, F b) {
  return each<F>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline F fdiv(F a, F b) {
  return each<F>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline F fma(F a, F b, F c) {
  return each<F>([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
inline F fselect_lt(F a, F b, F x, F y) {
  return each<F>([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), x.v[i], y.v[i]); });
}
inline F fselect_bits(uint32_t bits, F x, F y) {
  const uint32_t one[4] = {1, 2, 4, 8};
  return each<F>([&](int i) {
    const uint32x4_t set = vtstq_u32(vdupq_n_u32(bits >> (4 * i)), vld1q_u32(one));
    return vbslq_f32(set, x.v[i], y.v[i]);
  });
}
inline F fmax(F a, F b) { return fselect_lt(b, a, a, b); }
inline F fmin(F a, F b) { return fselect_lt(a, b, a, b); }
inline F fabs(F a) {
  return each<F>([&](int i) { return vabsq_f32(a.v[i]); });
}
inline F fkeep(F x, int32_t lo, int32_t hi, float fill) {
  const int32_t iota[4] = {0, 1, 2, 3};
  return each<F>([&](int i) {
    const int32x4_t lane = vaddq_s32(vld1q_s32(iota), vdupq_n_s32(4 * i));
    const uint32x4_t keep =
        vandq_u32(vcgeq_s32(lane, vdupq_n_s32(lo)), vcltq_s32(lane, vdupq_n_s32(hi)));
    return vbslq_f32(keep, x.v[i], vdupq_n_f32(fill));
  });
}
inline I iround(F x) {
  return each<I>([&](int i) { return vcvtnq_s32_f32(x.v[i]); });
}
inline I iset(int32_t x) {
  return each<I>([=](int) { return vdupq_n_s32(x); });
}
inline I izero() { return iset(0); }
inline I iload(const int32_t* p) {
  return each<I>([=](int i) { return vld1q_s32(p + 4 * i); });
}
inline void istore(int32_t* p, I x) {
  for (int i = 0; i < 4; ++i) vst1q_s32(p + 4 * i, x.v[i]);
}
inline I iadd(I a, I b) {
  return each<I>([&](int i) { return vaddq_s32(a.v[i], b.v[i]); });
}
template <int N>
inline I ishl(I x) {
  return each<I>([&](int i) { return vshlq_n_s32(x.v[i], N); });
}
template <int N>
inline I isar(I x) {
  return each<I>([&](int i) { return vshrq_n_s32(x.v[i], N); });
}
inline I iand(I x, uint32_t mask) {
  return each<I>([&](int i) { return vandq_s32(x.v[i], vdupq_n_s32(static_cast<int32_t>(mask))); });
}
inline F fbits(I x) {
  return each<F>([&](int i) { return vreinterpretq_f32_s32(x.v[i]); });
}
inline I ibits(F x) {
  return each<I>([&](int i) { return vreinterpretq_s32_f32(x.v[i]); });
}
inline F fpow2(I n) { return fbits(ishl<23>(iadd(n, iset(127)))); }
inline void istore_u16(uint16_t* p, I x) {
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vmovn_u32(vreinterpretq_u32_s32(x.v[i])));
}
inline void istore_i8(int8_t* p, I x) {
  const int16x8_t lo = vcombine_s16(vmovn_s32(x.v[0]), vmovn_s32(x.v[1]));
  const int16x8_t hi = vcombine_s16(vmovn_s32(x.v[2]), vmovn_s32(x.v[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(lo), vmovn_s16(hi)));
}

inline float freduce_add(F x) {
  const float32x4_t z = vaddq_f32(vaddq_f32(x.v[0], x.v[2]), vaddq_f32(x.v[1], x.v[3]));
  const float32x2_t w = vadd_f32(vget_low_f32(z), vget_high_f32(z));
  return vget_lane_f32(w, 0) + vget_lane_f32(w, 1);
}
inline float freduce_max(F x) {
  const float32x4_t z = vmaxq_f32(vmaxq_f32(x.v[0], x.v[2]), vmaxq_f32(x.v[1], x.v[3]));
  return vmaxvq_f32(z);
}
inline int32_t ireduce_add(I x) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(x.v[0], x.v[2]), vaddq_s32(x.v[1], x.v[3])));
}

inline B bload(const uint8_t* p) {
  return each<B>([=](int i) { return vld1q_u8(p + 16 * i); });
}
inline void bstore(uint8_t* p, B x) {
  for (int i = 0; i < 4; ++i) vst1q_u8(p + 16 * i, x.v[i]);
}
inline B bset(uint8_t x) {
  return each<B>([=](int) { return vdupq_n_u8(x); });
}
inline B band(B a, B b) {
  return each<B>([&](int i) { return vandq_u8(a.v[i], b.v[i]); });
}
inline B bor(B a, B b) {
  return each<B>([&](int i) { return vorrq_u8(a.v[i], b.v[i]); });
}
inline B badd(B a, B b) {
  return each<B>([&](int i) { return vaddq_u8(a.v[i], b.v[i]); });
}
template <int N>
inline B bshr(B x) {
  if constexpr (N > 0)
    return each<B>([&](int i) { return vshrq_n_u8(x.v[i], N); });
  else if constexpr (N < 0)
    return each<B>([&](int i) { return vshlq_n_u8(x.v[i], -N); });
  else
    return x;
}
inline B blut(const int8_t* table, B index) {
  const uint8x16_t t = vreinterpretq_u8_s8(vld1q_s8(table));
  return each<B>([&](int i) { return vqtbl1q_u8(t, index.v[i]); });
}
inline Quad quad(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

// Signed products throughout: centred codes are stored centred.
template <int Zero>
inline B centre(B q) {
  return badd(q, bset(static_cast<uint8_t>(-Zero)));
}
template <int Zero>
inline I centre_init(const int32_t*) {
  return izero();
}
inline B as_signed(B s) { return s; }
inline I signed_init(const int32_t*) { return izero(); }
inline int32x4_t dot16(int32x4_t acc, int8x16_t w, int8x16_t a) {
#if defined(PYSLM_DOTPROD)
  return vdotq_s32(acc, w, a);
#else
  const int16x8_t lo = vmull_s8(vget_low_s8(w), vget_low_s8(a));
  const int16x8_t hi = vmull_s8(vget_high_s8(w), vget_high_s8(a));
  return vaddq_s32(acc, vpaddq_s32(vpaddlq_s16(lo), vpaddlq_s16(hi)));
#endif
}
inline I dot_s(I acc, B w, Quad a) {
  return each<I>([&](int i) { return dot16(acc.v[i], vreinterpretq_s8_u8(w.v[i]), a); });
}
inline I dot_u(I acc, B w, Quad a) { return dot_s(acc, w, a); }  // codes < 128

#if defined(PYSLM_I8MM)
#define PYSLM_DOT_MATRIX 1
// The sums of `Quads` quads for N rows, with smmla: 2 rows x 8 k of weights by 2 x 8 of activations
// make 2 x 2 sums. Zipping the words of two quads gives such operands on both sides, and unzipping
// the sums of four weight rows gives lanes back. A last odd row goes with itself.
template <int N, int Quads>
[[gnu::always_inline]] inline void dot_matrix(I* sums, const uint8_t* codes, const int8_t* a) {
  constexpr int kPairs = (N + 1) / 2;
  int32x4_t acc[kPairs][8];  // [pair of activation rows][pair of weight rows]
  PYSLM_UNROLL
  for (int p = 0; p < kPairs; ++p) PYSLM_UNROLL
  for (int i = 0; i < 8; ++i) acc[p][i] = vdupq_n_s32(0);
  PYSLM_UNROLL
  for (int j = 0; j < Quads; j += 2) {
    int8x16_t act[kPairs];
    PYSLM_UNROLL
    for (int p = 0; p < kPairs; ++p) {
      const int8_t *first = a + (j * N + 2 * p) * 4, *second = first + 4 * N;
      const bool single = 2 * p + 1 == N;
      const int32x2_t w0 = vreinterpret_s32_s8(single ? vget_low_s8(quad(first)) : vld1_s8(first));
      const int32x2_t w1 =
          vreinterpret_s32_s8(single ? vget_low_s8(quad(second)) : vld1_s8(second));
      act[p] = vreinterpretq_s8_s32(vcombine_s32(vzip1_s32(w0, w1), vzip2_s32(w0, w1)));
    }
    PYSLM_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int32x4_t w0 = vreinterpretq_s32_u8(vld1q_u8(codes + 64 * j + 16 * i));
      const int32x4_t w1 = vreinterpretq_s32_u8(vld1q_u8(codes + 64 * (j + 1) + 16 * i));
      const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(w0, w1));
      const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(w0, w1));
      PYSLM_UNROLL
      for (int p = 0; p < kPairs; ++p) {
        acc[p][2 * i] = vmmlaq_s32(acc[p][2 * i], low, act[p]);
        acc[p][2 * i + 1] = vmmlaq_s32(acc[p][2 * i + 1], high, act[p]);
      }
    }
  }
  PYSLM_UNROLL
  for (int n = 0; n < N; ++n) PYSLM_UNROLL
  for (int i = 0; i < 4; ++i) {
    const int32x4_t low = acc[n / 2][2 * i], high = acc[n / 2][2 * i + 1];
    sums[n].v[i] = n % 2 == 0 ? vuzp1q_s32(low, high) : vuzp2q_s32(low, high);
  }
}
#endif

constexpr bool kBiased = true;  // centred codes are signed bytes, whatever the format
constexpr int kGroup = 4;
constexpr int kDirect = 4;

}  // namespace
}  // namespace pyslm
