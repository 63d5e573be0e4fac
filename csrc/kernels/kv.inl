// Writing keys and values into a block of the paged cache, and reading them as 16 lanes.
//
//   K part: [block_tokens / 16] tiles of 16 tokens, lane = token
//     F16, BF16: [dim][16] 16-bit          Q8_0: [dim32 / 4][16][4] int8, then [dim32 / 32][16]
//     half
//   V part: one row per token, lane = channel
//     F16, BF16: [block_tokens][dim16]     Q8_0: [block_tokens][dim32] int8, then
//     [block_tokens][dim32 / 32] half
//   (dim16, dim32: rounded up to a multiple of 16 or 32; the padding is zero)
namespace pyslm {
namespace {

enum class Kv { kF16, kBF16, kQ8 };

constexpr int32_t round_up(int32_t x, int32_t to) { return (x + to - 1) / to * to; }
constexpr int64_t key_tile_bytes(Kv type, int32_t dim) {
  return type == Kv::kQ8 ? round_up(dim, 32) * 16 + round_up(dim, 32) : dim * 32;
}

inline F load_bf16(const uint16_t* p) { return fbits(ishl<16>(iload_u16(p))); }
inline void store_bf16(uint16_t* p, F x) {  // nearest even; NaN stays NaN by its quiet bit
  const I bits = ibits(x);
  const I odd = iand(isar<16>(bits), 1);
  const F rounded = fbits(iadd(bits, iadd(odd, iset(0x7fff))));
  istore_u16(p, isar<16>(ibits(fselect_lt(fabs(x), fset(__builtin_inff()), rounded, x))));
}
template <Kv Type>
inline F load16(const uint16_t* p) {
  return Type == Kv::kF16 ? fload_half(p) : load_bf16(p);
}
template <Kv Type>
inline void store16(uint16_t* p, F x) {
  if constexpr (Type == Kv::kF16)
    fstore_half(p, x);
  else
    store_bf16(p, x);
}
inline uint16_t half1(float x) {
  uint16_t lanes[16];
  fstore_half(lanes, fset(x));
  return lanes[0];
}
inline float float1(uint16_t h) {
  uint16_t in[16];
  float out[16];
  for (int i = 0; i < 16; ++i) in[i] = h;
  fstore(out, fload_half(in));
  return out[0];
}

// One 32-channel block of a row that ends at dim, as Q8_0: codes for a half scale.
inline uint16_t quantize_q8(const float* x, int32_t left, int8_t* codes) {
  float padded[32];
  for (int i = 0; i < 32; ++i) padded[i] = i < left ? x[i] : 0.0f;
  const float top = freduce_max(fmax(fabs(fload(padded)), fabs(fload(padded + 16))));
  const uint16_t d = half1(top / 127.0f);
  const F inverse = fset(inverse_step(top));
  istore_i8(codes, iround(fmul(fload(padded), inverse)));
  istore_i8(codes + 16, iround(fmul(fload(padded + 16), inverse)));
  return d;
}

template <Kv Type>
void write_key(uint8_t* block, int32_t slot, int32_t dim, const float* k) {
  uint8_t* const tile = block + slot / 16 * key_tile_bytes(Type, dim);
  const int32_t lane = slot % 16, padded = round_up(dim, 32);
  for (int32_t d = 0; d < dim; d += Type == Kv::kQ8 ? 32 : 16) {
    if constexpr (Type == Kv::kQ8) {
      int8_t codes[32];
      const uint16_t scale = quantize_q8(k + d, dim - d, codes);
      for (int j = 0; j < 8; ++j)
        __builtin_memcpy(tile + ((d / 4 + j) * 16 + lane) * 4, codes + 4 * j, 4);
      __builtin_memcpy(tile + padded * 16 + (d / 32 * 16 + lane) * 2, &scale, 2);
    } else {
      uint16_t lanes[16];
      store16<Type>(lanes, fload_part(k + d, dim - d, 0.0f));
      for (int i = 0; i < 16 && d + i < dim; ++i)
        __builtin_memcpy(tile + ((d + i) * 16 + lane) * 2, lanes + i, 2);
    }
  }
}

template <Kv Type>
void write_value(uint8_t* block, int32_t slot, int32_t dim, int32_t block_tokens, const float* v) {
  if constexpr (Type == Kv::kQ8) {
    const int32_t padded = round_up(dim, 32);
    for (int32_t d = 0; d < padded; d += 32) {
      int8_t codes[32];
      const uint16_t scale = quantize_q8(v + d, dim - d, codes);
      __builtin_memcpy(block + slot * padded + d, codes, 32);
      __builtin_memcpy(block + block_tokens * padded + (slot * (padded / 32) + d / 32) * 2, &scale,
                       2);
    }
  } else {
    const int32_t padded = round_up(dim, 16);
    uint16_t* const row = reinterpret_cast<uint16_t*>(block) + slot * padded;
    for (int32_t d = 0; d < dim; d += 16) store16<Type>(row + d, fload_part(v + d, dim - d, 0.0f));
  }
}

// 16 channels from d on of the token in `slot`.
template <Kv Type>
[[gnu::always_inline]] inline F load_value(const uint8_t* values, int32_t slot, int32_t d,
                                           int32_t dim, int32_t block_tokens) {
  if constexpr (Type == Kv::kQ8) {
    const int32_t padded = round_up(dim, 32);
    const F codes = fload_i8(signed_bytes(values + slot * padded + d));
    return fmul(codes,
                fset(float1(halfs(values + block_tokens * padded)[slot * (padded / 32) + d / 32])));
  } else {
    return load16<Type>(halfs(values) + slot * round_up(dim, 16) + d);
  }
}

}  // namespace
}  // namespace pyslm
