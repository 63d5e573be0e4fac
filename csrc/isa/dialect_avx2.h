// The dialect on AVX2 + FMA + F16C: 16 lanes are two registers. PYSLM_VNNI adds vpdpbusd, either
// in its VEX form (AVX-VNNI) or, with PYSLM_EVEX_VNNI, in the 256-bit EVEX form, by which the
// algorithm can be tested on CPUs that have AVX-512 VNNI alone.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace pyslm {
namespace {

struct F {
  __m256 lo, hi;
};
struct I {
  __m256i lo, hi;
};
struct B {
  __m256i lo, hi;
};
using Quad = __m256i;

inline const __m256i* as256(const void* p) { return static_cast<const __m256i*>(p); }
inline __m256i* as256(void* p) { return static_cast<__m256i*>(p); }
inline const __m128i* as128(const void* p) { return static_cast<const __m128i*>(p); }
inline __m128i* as128(void* p) { return static_cast<__m128i*>(p); }

inline F fzero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F fset(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
inline F fload(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void fstore(float* p, F x) {
  _mm256_storeu_ps(p, x.lo);
  _mm256_storeu_ps(p + 8, x.hi);
}
inline F fload_half(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(as128(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(as128(p + 8)))};
}
inline void fstore_half(uint16_t* p, F x) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(as128(p), _mm256_cvtps_ph(x.lo, kNearest));
  _mm_storeu_si128(as128(p + 8), _mm256_cvtps_ph(x.hi, kNearest));
}
inline F fcvt(I x) { return {_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
inline F fload_i8(const int8_t* p) {
  const __m128i b = _mm_loadu_si128(as128(p));
  return fcvt({_mm256_cvtepi8_epi32(b), _mm256_cvtepi8_epi32(_mm_srli_si128(b, 8))});
}
inline I iload_u8(const uint8_t* p) {
  const __m128i b = _mm_loadu_si128(as128(p));
  return {_mm256_cvtepu8_epi32(b), _mm256_cvtepu8_epi32(_mm_srli_si128(b, 8))};
}
inline F fload_u8(const uint8_t* p) { return fcvt(iload_u8(p)); }
inline F fadd(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
inline F fsub(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
inline F fmul(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
inline F fdiv(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
inline F fma(F a, F b, F c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline F fmax(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
inline F fmin(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
inline F fabs(F a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
inline F fselect_lt(F a, F b, F x, F y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
inline F fselect_bits(uint32_t bits, F x, F y) {
  const __m256i one = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i word = _mm256_set1_epi32(static_cast<int32_t>(bits));
  const __m256i lo = _mm256_and_si256(word, one);
  const __m256i hi = _mm256_and_si256(_mm256_srli_epi32(word, 8), one);
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_castsi256_ps(_mm256_cmpeq_epi32(lo, one))),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_castsi256_ps(_mm256_cmpeq_epi32(hi, one)))};
}
inline __m256 keep8(__m256 x, __m256i lane, int32_t lo, int32_t hi, float fill) {
  const __m256i keep = _mm256_and_si256(_mm256_cmpgt_epi32(lane, _mm256_set1_epi32(lo - 1)),
                                        _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), lane));
  return _mm256_blendv_ps(_mm256_set1_ps(fill), x, _mm256_castsi256_ps(keep));
}
inline F fkeep(F x, int32_t lo, int32_t hi, float fill) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return {keep8(x.lo, lane, lo, hi, fill), keep8(x.hi, lane, lo - 8, hi - 8, fill)};
}
inline I iround(F x) { return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)}; }
inline I iset(int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {v, v};
}
inline I izero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
inline I iload(const int32_t* p) {
  return {_mm256_loadu_si256(as256(p)), _mm256_loadu_si256(as256(p + 8))};
}
inline void istore(int32_t* p, I x) {
  _mm256_storeu_si256(as256(p), x.lo);
  _mm256_storeu_si256(as256(p + 8), x.hi);
}
inline I iadd(I a, I b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
template <int N>
inline I ishl(I x) {
  return {_mm256_slli_epi32(x.lo, N), _mm256_slli_epi32(x.hi, N)};
}
template <int N>
inline I isar(I x) {
  return {_mm256_srai_epi32(x.lo, N), _mm256_srai_epi32(x.hi, N)};
}
inline I iand(I x, uint32_t mask) {
  const __m256i m = _mm256_set1_epi32(static_cast<int32_t>(mask));
  return {_mm256_and_si256(x.lo, m), _mm256_and_si256(x.hi, m)};
}
inline F fbits(I x) { return {_mm256_castsi256_ps(x.lo), _mm256_castsi256_ps(x.hi)}; }
inline I ibits(F x) { return {_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)}; }
inline F fpow2(I n) { return fbits(ishl<23>(iadd(n, iset(127)))); }
inline I iload_u16(const uint16_t* p) {
  return {_mm256_cvtepu16_epi32(_mm_loadu_si128(as128(p))),
          _mm256_cvtepu16_epi32(_mm_loadu_si128(as128(p + 8)))};
}
inline void istore_u16(uint16_t* p, I x) {
  const I low = iand(x, 0xffff);
  const __m256i packed = _mm256_packus_epi32(low.lo, low.hi);
  _mm256_storeu_si256(as256(p), _mm256_permute4x64_epi64(packed, 0xd8));
}
inline void istore_i8(int8_t* p, I x) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xd8);
  _mm_storeu_si128(
      as128(p), _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
}

inline float freduce_add(F x) {
  const __m256 y = _mm256_add_ps(x.lo, x.hi);
  const __m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  const __m128 w = _mm_add_ps(z, _mm_movehl_ps(z, z));
  return _mm_cvtss_f32(_mm_add_ss(w, _mm_shuffle_ps(w, w, 1)));
}
inline float freduce_max(F x) {
  const __m256 y = _mm256_max_ps(x.lo, x.hi);
  const __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  const __m128 w = _mm_max_ps(z, _mm_movehl_ps(z, z));
  return _mm_cvtss_f32(_mm_max_ss(w, _mm_shuffle_ps(w, w, 1)));
}
inline int32_t ireduce_add(I x) {
  const __m256i y = _mm256_add_epi32(x.lo, x.hi);
  const __m128i z = _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
  const __m128i w = _mm_add_epi32(z, _mm_shuffle_epi32(z, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(w, _mm_shuffle_epi32(w, 0xb1)));
}

inline B bload(const uint8_t* p) {
  return {_mm256_loadu_si256(as256(p)), _mm256_loadu_si256(as256(p + 32))};
}
inline void bstore(uint8_t* p, B x) {
  _mm256_storeu_si256(as256(p), x.lo);
  _mm256_storeu_si256(as256(p + 32), x.hi);
}
inline B bset(uint8_t x) {
  const __m256i v = _mm256_set1_epi8(static_cast<char>(x));
  return {v, v};
}
inline B band(B a, B b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
inline B bor(B a, B b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
inline B badd(B a, B b) { return {_mm256_add_epi8(a.lo, b.lo), _mm256_add_epi8(a.hi, b.hi)}; }
template <int N>
inline B bshr(B x) {
  if constexpr (N > 0)
    return {_mm256_srli_epi16(x.lo, N), _mm256_srli_epi16(x.hi, N)};
  else if constexpr (N < 0)
    return {_mm256_slli_epi16(x.lo, -N), _mm256_slli_epi16(x.hi, -N)};
  else
    return x;
}
inline B blut(const int8_t* table, B index) {
  const __m256i t = _mm256_broadcastsi128_si256(_mm_loadu_si128(as128(table)));
  return {_mm256_shuffle_epi8(t, index.lo), _mm256_shuffle_epi8(t, index.hi)};
}
inline Quad quad(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm256_set1_epi32(word);
}

#if defined(PYSLM_VNNI)
constexpr bool kBiased = true;  // operands of every centred format are weight + 128
#if defined(PYSLM_EVEX_VNNI)
inline __m256i dpbusd(__m256i acc, __m256i u, __m256i s) { return _mm256_dpbusd_epi32(acc, u, s); }
#else
inline __m256i dpbusd(__m256i acc, __m256i u, __m256i s) {
  return _mm256_dpbusd_avx_epi32(acc, u, s);
}
#endif
template <int Zero>
inline B centre(B q) {
  return badd(q, bset(128 - Zero));
}
template <int Zero>
inline I centre_init(const int32_t* bias) {
  return iset(*bias);
}
inline B as_signed(B s) { return badd(s, bset(128)); }
inline I signed_init(const int32_t* bias) { return iset(*bias); }
inline I dot_u(I acc, B w, Quad a) { return {dpbusd(acc.lo, w.lo, a), dpbusd(acc.hi, w.hi, a)}; }
inline I dot_s(I acc, B w, Quad a) { return dot_u(acc, w, a); }
#else
constexpr bool kBiased = false;
#define PYSLM_PAIR_SUMS  // products of unsigned codes are added up in 16 bits
template <int Zero>
inline B centre(B q) {
  return q;
}
template <int Zero>
inline I centre_init(const int32_t* bias) {  // -Zero * sum
  static_assert((Zero & (Zero - 1)) == 0);
  return iset(*bias >> __builtin_ctz(128 / Zero));
}
inline B as_signed(B s) { return s; }
inline I signed_init(const int32_t*) { return izero(); }
// Codes up to 127: two products of at most 127 * 127 fit 16 bits, so vpmaddubsw cannot saturate.
inline __m256i dot8(__m256i acc, __m256i u, __m256i s) {
  const __m256i pairs = _mm256_maddubs_epi16(u, s);
  return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
inline B dot_pairs(B w, Quad a) {
  return {_mm256_maddubs_epi16(w.lo, a), _mm256_maddubs_epi16(w.hi, a)};
}
inline B add_pairs(B a, B b) {
  return {_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)};
}
inline I widen_pairs(B pairs) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(pairs.lo, ones), _mm256_madd_epi16(pairs.hi, ones)};
}
inline I dot_u(I acc, B w, Quad a) { return {dot8(acc.lo, w.lo, a), dot8(acc.hi, w.hi, a)}; }
inline I dot_s(I acc, B w, Quad a) {
  return {dot8(acc.lo, _mm256_abs_epi8(w.lo), _mm256_sign_epi8(a, w.lo)),
          dot8(acc.hi, _mm256_abs_epi8(w.hi), _mm256_sign_epi8(a, w.hi))};
}
#endif

constexpr int kGroup = 4;  // 8 integer accumulators of 16 registers; the float ones spill
constexpr int kDirect = 4;

}  // namespace
}  // namespace pyslm
