// The dialect on AVX-512 (F, BW, DQ, VL): 16 floats, 16 int32 or 64 bytes are one register.
// PYSLM_VNNI: vpdpbusd (u8 x s8, no saturation) takes weights biased by 128.
// Without it: vpmaddubsw on unsigned codes up to 127, sign trick for signed ones; neither
// saturates.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace pyslm {
namespace {

using F = __m512;      // 16 floats, lane = row, token or channel
using I = __m512i;     // 16 int32
using B = __m512i;     // 64 bytes: 16 lanes x 4 consecutive k
using Quad = __m512i;  // 4 bytes of k, the same in every lane

inline F fzero() { return _mm512_setzero_ps(); }
inline F fset(float x) { return _mm512_set1_ps(x); }
inline F fload(const float* p) { return _mm512_loadu_ps(p); }
inline void fstore(float* p, F x) { _mm512_storeu_ps(p, x); }
inline F fload_half(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline void fstore_half(uint16_t* p, F x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F fload_i8(const int8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline F fload_u8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline F fadd(F a, F b) { return _mm512_add_ps(a, b); }
inline F fsub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F fmul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F fdiv(F a, F b) { return _mm512_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F fmax(F a, F b) { return _mm512_max_ps(a, b); }
inline F fmin(F a, F b) { return _mm512_min_ps(a, b); }
inline F fabs(F a) { return _mm512_abs_ps(a); }
// a < b ? x : y
inline F fselect_lt(F a, F b, F x, F y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
// x where the lane's bit is set, else y
inline F fselect_bits(uint32_t bits, F x, F y) {
  return _mm512_mask_blend_ps(static_cast<__mmask16>(bits), y, x);
}
// Lanes outside [lo, hi) become `fill`.
inline F fkeep(F x, int32_t lo, int32_t hi, float fill) {
  const I lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __mmask16 keep = _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(lo)) &
                         _mm512_cmplt_epi32_mask(lane, _mm512_set1_epi32(hi));
  return _mm512_mask_blend_ps(keep, _mm512_set1_ps(fill), x);
}
inline F fcvt(I x) { return _mm512_cvtepi32_ps(x); }
inline I iround(F x) { return _mm512_cvtps_epi32(x); }  // nearest, ties to even
inline F fpow2(I n) {                                   // 2^n, n in [-126, 127]
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
}

inline I izero() { return _mm512_setzero_si512(); }
inline I iset(int32_t x) { return _mm512_set1_epi32(x); }
inline I iload(const int32_t* p) { return _mm512_loadu_si512(p); }
inline void istore(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
inline I iadd(I a, I b) { return _mm512_add_epi32(a, b); }
// Low bytes of 16 int32 in [-128, 127].
inline void istore_i8(int8_t* p, I x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
}
template <int N>
inline I ishl(I x) {
  return _mm512_slli_epi32(x, N);
}
template <int N>
inline I isar(I x) {
  return _mm512_srai_epi32(x, N);
}
inline I iand(I x, uint32_t mask) { return _mm512_and_si512(x, iset(static_cast<int32_t>(mask))); }
inline F fbits(I x) { return _mm512_castsi512_ps(x); }
inline I ibits(F x) { return _mm512_castps_si512(x); }
inline I iload_u16(const uint16_t* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline I iload_u8(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void istore_u16(uint16_t* p, I x) {  // low halves
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x));
}

// Fixed trees, the same on every tier: lanes i and i+8, then i+4, i+2, i+1.
inline float freduce_add(F x) {
  const __m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  const __m128 z = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
  const __m128 w = _mm_add_ps(z, _mm_movehl_ps(z, z));
  return _mm_cvtss_f32(_mm_add_ss(w, _mm_shuffle_ps(w, w, 1)));
}
inline float freduce_max(F x) { return _mm512_reduce_max_ps(x); }
inline int32_t ireduce_add(I x) { return _mm512_reduce_add_epi32(x); }

inline B bload(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void bstore(uint8_t* p, B x) { _mm512_storeu_si512(p, x); }
inline B bset(uint8_t x) { return _mm512_set1_epi8(static_cast<char>(x)); }
inline B band(B a, B b) { return _mm512_and_si512(a, b); }
inline B bor(B a, B b) { return _mm512_or_si512(a, b); }
inline B badd(B a, B b) { return _mm512_add_epi8(a, b); }
// Whole 16-bit lanes shift; callers mask what crosses a byte.
template <int N>
inline B bshr(B x) {
  if constexpr (N > 0)
    return _mm512_srli_epi16(x, N);
  else if constexpr (N < 0)
    return _mm512_slli_epi16(x, -N);
  else
    return x;
}
inline B blut(const int8_t* table, B index) {  // table of 16, index < 16
  const __m128i t = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), index);
}
inline Quad quad(const int8_t* p) {
  int32_t word;
  __builtin_memcpy(&word, p, 4);
  return _mm512_set1_epi32(word);
}

#if defined(PYSLM_VNNI)
constexpr bool kBiased = true;  // operands of every centred format are weight + 128
template <int Zero>
inline B centre(B q) {
  return badd(q, bset(128 - Zero));
}
template <int Zero>
inline I centre_init(const int32_t* bias) {
  return iset(*bias);
}
inline B as_signed(B s) { return _mm512_xor_si512(s, bset(0x80)); }
inline I signed_init(const int32_t* bias) { return iset(*bias); }
inline I dot_u(I acc, B w, Quad a) { return _mm512_dpbusd_epi32(acc, w, a); }
inline I dot_s(I acc, B w, Quad a) { return _mm512_dpbusd_epi32(acc, w, a); }
#else
constexpr bool kBiased = false;
#define PYSLM_PAIR_SUMS  // products of unsigned codes are added up in 16 bits
// -Zero * sum, from -128 * sum.
template <int Zero>
inline B centre(B q) {
  return q;
}
template <int Zero>
inline I centre_init(const int32_t* bias) {
  static_assert((Zero & (Zero - 1)) == 0);
  return iset(*bias >> __builtin_ctz(128 / Zero));
}
inline B as_signed(B s) { return s; }
inline I signed_init(const int32_t*) { return izero(); }
inline B dot_pairs(B w, Quad a) { return _mm512_maddubs_epi16(w, a); }
inline B add_pairs(B a, B b) { return _mm512_add_epi16(a, b); }
inline I widen_pairs(B pairs) { return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)); }
inline I dot_u(I acc, B w, Quad a) { return _mm512_add_epi32(acc, widen_pairs(dot_pairs(w, a))); }
inline I dot_s(I acc, B w, Quad a) {
  const B moved = _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(w), izero(), a);
  return dot_u(acc, _mm512_abs_epi8(w), moved);
}
#endif

constexpr int kGroup = 12;  // int and float accumulators of 12 rows, one weight vector: 25 of 32
constexpr int kDirect = 8;  // with two parts: 16 integer, 8 float

}  // namespace
}  // namespace pyslm
