// The dialect in plain C++: the specification of every other tier, lane for lane. Fused
// multiply-adds are real ones (a library call where the base ISA has none).
#pragma once

#include <cstdint>

namespace pyslm {
namespace {

struct F {
  float v[16];
};
struct I {
  int32_t v[16];
};
struct B {
  uint8_t v[64];
};
struct Quad {
  int8_t v[4];
};

template <class Op>
inline F fmap(Op op) {
  F r;
  for (int i = 0; i < 16; ++i) r.v[i] = op(i);
  return r;
}
template <class Op>
inline I imap(Op op) {
  I r;
  for (int i = 0; i < 16; ++i) r.v[i] = op(i);
  return r;
}
template <class Op>
inline B bmap(Op op) {
  B r;
  for (int i = 0; i < 64; ++i) r.v[i] = static_cast<uint8_t>(op(i));
  return r;
}
inline uint32_t bits_of(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  return u;
}
inline float float_of(uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}
inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
  if (exponent == 31) return float_of(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {  // zero or subnormal: exact product
    const float x = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -x : x;
  }
  return float_of(sign | (exponent + 112) << 23 | mantissa << 13);
}
inline uint16_t float_to_half(float x) {  // nearest, ties to even
  const uint32_t u = bits_of(x), sign = (u >> 16) & 0x8000;
  const uint32_t magnitude = u & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (magnitude < 0x38800000) {  // subnormal half: let a float add do the rounding
    const float shifted = float_of(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (bits_of(shifted) - 0x3f000000));
  }
  const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13));
}

inline F fzero() {
  return fmap([](int) { return 0.0f; });
}
inline F fset(float x) {
  return fmap([=](int) { return x; });
}
inline F fload(const float* p) {
  return fmap([=](int i) { return p[i]; });
}
inline void fstore(float* p, const F& x) {
  for (int i = 0; i < 16; ++i) p[i] = x.v[i];
}
inline F fload_half(const uint16_t* p) {
  return fmap([=](int i) { return half_to_float(p[i]); });
}
inline void fstore_half(uint16_t* p, const F& x) {
  for (int i = 0; i < 16; ++i) p[i] = float_to_half(x.v[i]);
}
inline F fload_i8(const int8_t* p) {
  return fmap([=](int i) { return static_cast<float>(p[i]); });
}
inline F fload_u8(const uint8_t* p) {
  return fmap([=](int i) { return static_cast<float>(p[i]); });
}
inline F fadd(const F& a, const F& b) {
  return fmap([&](int i) { return a.v[i] + b.v[i]; });
}
inline F fsub(const F& a, const F& b) {
  return fmap([&](int i) { return a.v[i] - b.v[i]; });
}
inline F fmul(const F& a, const F& b) {
  return fmap([&](int i) { return a.v[i] * b.v[i]; });
}
inline F fdiv(const F& a, const F& b) {
  return fmap([&](int i) { return a.v[i] / b.v[i]; });
}
inline F fma(const F& a, const F& b, const F& c) {
  return fmap([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
inline F fmax(const F& a, const F& b) {
  return fmap([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline F fmin(const F& a, const F& b) {
  return fmap([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline F fabs(const F& a) {
  return fmap([&](int i) { return __builtin_fabsf(a.v[i]); });
}
inline F fselect_lt(const F& a, const F& b, const F& x, const F& y) {
  return fmap([&](int i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}
inline F fselect_bits(uint32_t bits, const F& x, const F& y) {
  return fmap([&](int i) { return ((bits >> i) & 1) != 0 ? x.v[i] : y.v[i]; });
}
inline F fkeep(const F& x, int32_t lo, int32_t hi, float fill) {
  return fmap([&](int i) { return i >= lo && i < hi ? x.v[i] : fill; });
}
inline F fcvt(const I& x) {
  return fmap([&](int i) { return static_cast<float>(x.v[i]); });
}
inline int32_t round_even(float x) {
  if (!(x > -2147483648.0f && x < 2147483648.0f)) return INT32_MIN;  // as cvtps2dq answers
  const float r = __builtin_rintf(x);
  return static_cast<int32_t>(r);
}
inline I iround(const F& x) {
  return imap([&](int i) { return round_even(x.v[i]); });
}
inline F fpow2(const I& n) {
  return fmap([&](int i) { return float_of(static_cast<uint32_t>(n.v[i] + 127) << 23); });
}

inline I izero() {
  return imap([](int) { return 0; });
}
inline I iset(int32_t x) {
  return imap([=](int) { return x; });
}
inline I iload(const int32_t* p) {
  return imap([=](int i) { return p[i]; });
}
inline void istore(int32_t* p, const I& x) {
  for (int i = 0; i < 16; ++i) p[i] = x.v[i];
}
inline I iadd(const I& a, const I& b) {
  return imap([&](int i) { return a.v[i] + b.v[i]; });
}
inline void istore_i8(int8_t* p, const I& x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(x.v[i]);
}
template <int N>
inline I ishl(const I& x) {
  return imap([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(x.v[i]) << N); });
}
template <int N>
inline I isar(const I& x) {
  return imap([&](int i) { return x.v[i] >> N; });
}
inline I iand(const I& x, uint32_t mask) {
  return imap([&](int i) { return static_cast<int32_t>(static_cast<uint32_t>(x.v[i]) & mask); });
}
inline F fbits(const I& x) {
  return fmap([&](int i) { return float_of(static_cast<uint32_t>(x.v[i])); });
}
inline I ibits(const F& x) {
  return imap([&](int i) { return static_cast<int32_t>(bits_of(x.v[i])); });
}
inline I iload_u16(const uint16_t* p) {
  return imap([=](int i) { return p[i]; });
}
inline I iload_u8(const uint8_t* p) {
  return imap([=](int i) { return p[i]; });
}
inline void istore_u16(uint16_t* p, const I& x) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<uint16_t>(x.v[i]);
}

inline float freduce_add(const F& x) {
  float a[8], b[4];
  for (int i = 0; i < 8; ++i) a[i] = x.v[i] + x.v[i + 8];
  for (int i = 0; i < 4; ++i) b[i] = a[i] + a[i + 4];
  return (b[0] + b[2]) + (b[1] + b[3]);
}
inline float freduce_max(const F& x) {
  float m = x.v[0];
  for (int i = 1; i < 16; ++i) m = x.v[i] > m ? x.v[i] : m;
  return m;
}
inline int32_t ireduce_add(const I& x) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += x.v[i];
  return sum;
}

inline B bload(const uint8_t* p) {
  return bmap([=](int i) { return p[i]; });
}
inline void bstore(uint8_t* p, const B& x) {
  for (int i = 0; i < 64; ++i) p[i] = x.v[i];
}
inline B bset(uint8_t x) {
  return bmap([=](int) { return x; });
}
inline B band(const B& a, const B& b) {
  return bmap([&](int i) { return a.v[i] & b.v[i]; });
}
inline B bor(const B& a, const B& b) {
  return bmap([&](int i) { return a.v[i] | b.v[i]; });
}
inline B badd(const B& a, const B& b) {
  return bmap([&](int i) { return a.v[i] + b.v[i]; });
}
template <int N>
inline B bshr(const B& x) {  // callers mask, so that bytes may shift alone
  if constexpr (N >= 0)
    return bmap([&](int i) { return x.v[i] >> N; });
  else
    return bmap([&](int i) { return x.v[i] << -N; });
}
inline B blut(const int8_t* table, const B& index) {
  return bmap([&](int i) { return table[index.v[i]]; });
}
inline Quad quad(const int8_t* p) { return {{p[0], p[1], p[2], p[3]}}; }

template <int Zero>
inline B centre(const B& q) {
  return bmap([&](int i) { return q.v[i] - Zero; });
}
template <int Zero>
inline I centre_init(const int32_t*) {
  return izero();
}
inline B as_signed(const B& s) { return s; }
inline I signed_init(const int32_t*) { return izero(); }
inline I dot_s(const I& acc, const B& w, const Quad& a) {
  return imap([&](int i) {
    int32_t sum = acc.v[i];
    for (int j = 0; j < 4; ++j) sum += static_cast<int8_t>(w.v[4 * i + j]) * a.v[j];
    return sum;
  });
}
inline I dot_u(const I& acc, const B& w, const Quad& a) { return dot_s(acc, w, a); }  // codes < 128

constexpr bool kBiased = true;  // centred codes are signed bytes, whatever the format
constexpr int kGroup = 1;
constexpr int kDirect = 1;

}  // namespace
}  // namespace pyslm
